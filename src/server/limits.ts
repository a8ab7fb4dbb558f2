const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;
const second = 1000;
const minute = 60 * second;

/**
 * The limits of the server, each with the reason for its default.
 *
 * Durations are in milliseconds, sizes in bytes. The configuration may override each one; nothing
 * else in this folder holds a limit of its own.
 */
export const defaultLimits = {
  // Messages

  /** Largest request message. A payload is at most 1 MiB; a batch of many must fit. */
  readMaxBytes: 4 * mebibyte,
  /** Largest response message. A page of a list is at most 4 MiB; the rest is room for one large record more. */
  writeMaxBytes: 8 * mebibyte,
  /** Smallest response that is compressed. Below this, gzip costs more than it saves. */
  compressMinBytes: kibibyte,

  // Time of one call

  /** Longest deadline. Longer ones are cut to this, not refused: timers of 2^31 ms and more fire at once. */
  maxTimeoutMs: 60 * minute,
  /** Deadline of a unary call that sets none, so that nothing waits for ever. */
  defaultTimeoutMs: 30 * second,
  /** The same for calls that wait for something to happen, for a minute at most. */
  waitingTimeoutMs: 70 * second,
  /** How long the body of a request with one message may take, however slowly it trickles. */
  bodyTimeoutMs: 20 * second,
  /** How long a client may leave a response unread before the call is cut off. */
  writeStallMs: 60 * second,

  /** How long an HTTP/1.1 client may go on sending a request that is answered already, before it is cut off. */
  lingerMs: 2 * second,

  // Admission

  /** Unary calls in flight in this process. More would only wait for the database, and hold memory meanwhile. */
  maxUnaryInFlight: 500,
  /** Streaming and waiting calls in flight in this process. They are many and mostly idle, so they are counted apart. */
  maxStreamsInFlight: 1000,

  // Connections

  /** Open connections. Further ones are closed at once. */
  maxConnections: 2000,
  /** How long a new connection may take to show which protocol it speaks, or to finish its TLS handshake. */
  sniffTimeoutMs: 10 * second,

  // HTTP/1.1

  /** How long the headers of an HTTP/1.1 request may take. */
  headersTimeoutMs: 10 * second,
  /** How long a whole HTTP/1.1 request may take: the backstop behind bodyTimeoutMs, which answers better. */
  requestTimeoutMs: 30 * second,
  /** How long an idle HTTP/1.1 connection is kept. Longer than the 60 s of usual load balancers, so that they close first. */
  keepAliveTimeoutMs: 65 * second,

  // HTTP/2

  /** Open streams of one connection. Node's default is 2^32 - 1. */
  maxConcurrentStreams: 100,
  /** Headers of a request, for HTTP/1.1 too. A JWT has a few KiB. */
  maxHeaderBytes: 16 * kibibyte,
  /** Number of headers of a request. */
  maxHeaderPairs: 64,
  /** Memory of one HTTP/2 session inside Node, in megabytes. */
  maxSessionMemoryMb: 10,
  /** Streams that a client may reset in one burst before its connection is closed (CVE-2023-44487). */
  streamResetBurst: 200,
  /** Streams that a client may reset per second in the long run. */
  streamResetRate: 20,
  /** Invalid frames, and refused streams, before a connection is closed. */
  maxInvalidFrames: 100,
  /** How long a connection without streams is kept. Clients connect again when they need to. */
  sessionIdleMs: minute,
  /** How often a connection is probed with a PING, which finds peers that vanished. */
  pingIntervalMs: 30 * second,
  /** How long the answer to a PING may take. */
  pingTimeoutMs: 10 * second,
} as const;

/** See {@link defaultLimits}. */
export type Limits = { readonly [Name in keyof typeof defaultLimits]: number };
