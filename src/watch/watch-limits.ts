const second = 1000;
const minute = 60 * second;
const mebibyte = 1024 * 1024;

/** The limits of watching, each with the reason for its default. Durations are in milliseconds, sizes in bytes. */
export const defaultWatchLimits = {
  // The poller of an organization

  /** How long after a change the feed is looked at again, when nobody says that there is something. */
  busyPollMs: 100,
  /** The same when nothing has changed for a while. */
  idlePollMs: second,
  /** How long nothing has to change to count as idle. */
  idleAfterMs: 5 * second,
  /** How long looks at a feed lie apart at least, so that changes that follow each other closely are told together. */
  gapMs: 20,
  /** How much longer for each stream that is told of them: telling costs time, and telling less often costs less. */
  gapPerStreamMs: 0.1,
  /** The longest such gap. */
  mostGapMs: 80,
  /** How many events of one shard a look takes at most. What is left over is taken by the next one, at once. */
  eventsPerShard: 64,
  /** How long after a failure it is tried again. */
  retryMs: second,

  /** How many reads for streams that begin or are behind may be under way: less than half of the connections. */
  readsAtOnce: 4,

  // What is kept for streams

  /** How many changes of an organization are kept: a stream that is further behind reads the database itself. */
  keptEntries: 4096,
  /** How many bytes these may have, about. */
  keptBytes: 4 * mebibyte,
  /** How many bytes of payloads are kept for all organizations together. */
  payloadCacheBytes: 32 * mebibyte,

  // A stream

  /** How many changes a message tells at most. */
  changesPerMessage: 256,
  /** How many bytes a message has at most, about, unless it tells of one record only. */
  messageBytes: 256 * 1024,
  /** How large the payloads of a record may be to be told. */
  payloadBytes: 256 * 1024,
  /** How long a stream is silent at most. Proxies and clients wait for 15 s at least. */
  keepaliveMs: 10 * second,
  /** How often the credential of a stream is checked again. */
  recheckMs: 30 * second,
  /** How long a caller may read nothing. Less than the server waits until it cuts off, so that it can say why. */
  stallMs: 45 * second,
  /** How long a stream lasts at most; up to twice that, by chance, so that not all come again at once. */
  ageMs: 30 * minute,
  /** How long a resume token is good for. */
  tokenMs: 3 * 24 * 60 * minute,
} as const;

/** See {@link defaultWatchLimits}. */
export type WatchLimits = { readonly [Name in keyof typeof defaultWatchLimits]: number };
