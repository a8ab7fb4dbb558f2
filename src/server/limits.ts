const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;
const second = 1000;
const minute = 60 * second;

/** A limit: what it is unless the configuration says otherwise, and what that may say. */
export interface LimitRange {
  readonly value: number;
  readonly min: number;
  readonly max: number;
}

const range = (value: number, min: number, max: number): LimitRange => ({ value, min, max });

/**
 * The limits of the server, each with the reason for its default, and the bounds within which the service is
 * still safe and of use.
 *
 * Durations are in milliseconds, sizes in bytes. The environment may override each one (docs/configuration.md);
 * nothing else in this folder holds a limit of its own.
 */
export const limitRanges = {
  // Messages

  /** Largest request message. A payload is at most 1 MiB; a batch of many must fit. */
  readMaxBytes: range(4 * mebibyte, 64 * kibibyte, 64 * mebibyte),
  /** Largest response message. A page of a list is at most 4 MiB; the rest is room for one large record more. */
  writeMaxBytes: range(8 * mebibyte, 5 * mebibyte, 64 * mebibyte),
  /** Smallest response that is compressed. Below this, gzip costs more than it saves. */
  compressMinBytes: range(kibibyte, 0, mebibyte),

  // Time of one call

  /** Longest deadline. Longer ones are cut to this, not refused: timers of 2^31 ms and more fire at once. */
  maxTimeoutMs: range(60 * minute, second, 24 * 60 * minute),
  /** Deadline of a unary call that sets none, so that nothing waits for ever. */
  defaultTimeoutMs: range(30 * second, second, 60 * minute),
  /** The same for calls that wait for something to happen, for a minute at most. */
  waitingTimeoutMs: range(70 * second, second, 60 * minute),
  /** How long the body of a request with one message may take, however slowly it trickles. */
  bodyTimeoutMs: range(20 * second, second, 10 * minute),
  /** How long a client may leave a response unread before the call is cut off. */
  writeStallMs: range(60 * second, second, 10 * minute),

  /** How long an HTTP/1.1 client may go on sending a request that is answered already, before it is cut off. */
  lingerMs: range(2 * second, 100, minute),

  // Admission

  /** Unary calls in flight in this process. More would only wait for the database, and hold memory meanwhile. */
  maxUnaryInFlight: range(500, 1, 10_000),
  /** Streaming and waiting calls in flight in this process. They are many and mostly idle, so they are counted apart. */
  maxStreamsInFlight: range(1000, 1, 100_000),
  /** Watches and waits of one credential in this process, so that a page left open in a loop takes not all of them. */
  maxStreamsPerCaller: range(250, 1, 100_000),

  /** Ingest streams in this process. Each may hold a few megabytes that are not written yet. */
  maxIngestStreams: range(100, 1, 10_000),
  /** Ingest streams of one organization in this process, so that one with many writers leaves room for others. */
  maxIngestStreamsPerOrganization: range(50, 1, 10_000),

  // Coalescing: what callers of one organization want at the same time is done in one transaction

  /** Records that one transaction writes or reads for several callers. With 0, each call has its own. */
  batchRecords: range(500, 0, 10_000),
  /** Payloads of one such transaction. */
  batchBytes: range(4 * mebibyte, 64 * kibibyte, 64 * mebibyte),
  /** Records of one organization that wait for the next transaction. More would wait longer than callers do. */
  queuedRecords: range(10_000, 1, 1_000_000),
  /** Payloads of one organization that wait, so that it leaves room for others. */
  queuedBytes: range(16 * mebibyte, mebibyte, 1024 * mebibyte),
  /** Payloads that wait in this process. */
  queuedBytesOfAll: range(64 * mebibyte, mebibyte, 4096 * mebibyte),

  // Connections

  /** Open connections. Further ones are closed at once. */
  maxConnections: range(2000, 10, 100_000),
  /** How long a new connection may take to show which protocol it speaks, or to finish its TLS handshake. */
  sniffTimeoutMs: range(10 * second, 100, minute),

  // HTTP/1.1

  /** How long the headers of an HTTP/1.1 request may take. */
  headersTimeoutMs: range(10 * second, second, minute),
  /** How long a whole HTTP/1.1 request may take: the backstop behind bodyTimeoutMs, which answers better. */
  requestTimeoutMs: range(30 * second, second, 15 * minute),
  /** How long an idle HTTP/1.1 connection is kept. Longer than the 60 s of usual load balancers, so that they close first. */
  keepAliveTimeoutMs: range(65 * second, second, 60 * minute),

  // HTTP/2

  /** Open streams of one connection. Node's default is 2^32 - 1. */
  maxConcurrentStreams: range(100, 1, 1000),
  /** Headers of a request, for HTTP/1.1 too. A JWT has a few KiB. */
  maxHeaderBytes: range(16 * kibibyte, 4 * kibibyte, 256 * kibibyte),
  /** Number of headers of a request. */
  maxHeaderPairs: range(64, 32, 1000),
  /** Memory of one HTTP/2 session inside Node, in megabytes. */
  maxSessionMemoryMb: range(10, 1, 100),
  /** Streams that a client may reset in one burst before its connection is closed (CVE-2023-44487). */
  streamResetBurst: range(200, 10, 10_000),
  /** Streams that a client may reset per second in the long run. */
  streamResetRate: range(20, 1, 1000),
  /** Invalid frames, and refused streams, before a connection is closed. */
  maxInvalidFrames: range(100, 1, 1000),
  /** How long a connection without streams is kept. Clients connect again when they need to. */
  sessionIdleMs: range(minute, second, 60 * minute),
  /** How often a connection is probed with a PING, which finds peers that vanished. */
  pingIntervalMs: range(30 * second, second, 10 * minute),
  /** How long the answer to a PING may take. */
  pingTimeoutMs: range(10 * second, second, minute),
} as const satisfies Record<string, LimitRange>;

/** See {@link limitRanges}. */
export type Limits = { readonly [Name in keyof typeof limitRanges]: number };

/** The limits unless the configuration says otherwise. */
export const defaultLimits: Limits = mapLimits(({ value }) => value);

/** Returns limits of which a function tells each. */
export function mapLimits(toValue: (range: LimitRange, name: keyof Limits) => number): Limits {
  const names = Object.keys(limitRanges) as (keyof Limits)[];
  return Object.fromEntries(
    names.map((name) => [name, toValue(limitRanges[name], name)]),
  ) as unknown as Limits;
}
