const second = 1000;
const mebibyte = 1024 * 1024;

/**
 * The limits of ingest streams, each with the reason for its default. Durations are in milliseconds, sizes in bytes.
 *
 * The first two are the contract of IngestTaskExecutions.
 */
export const defaultIngestLimits = {
  /** Items of a stream that are not acknowledged, or whose acknowledgements are not taken. Enough for full batches. */
  itemsPerStream: 2000,
  /** How many bytes these may have, about. One item more may be taken. */
  bytesPerStream: 8 * mebibyte,
  /** The same for all streams of an organization together, so that one cannot take all there is. */
  bytesPerOrganization: 32 * mebibyte,
  /** The same for all streams of the process. */
  bytesInAll: 64 * mebibyte,
  /** What an item takes besides its payloads, about. */
  itemBytes: 512,

  /** How many acknowledgements a message has at most. */
  acknowledgementsPerMessage: 500,
  /** How many bytes a message has at most, about, unless it has only one acknowledgement. */
  messageBytes: mebibyte,

  /** How often the credential is checked again. With the age of a cached key, one that is revoked stops within 5 s. */
  recheckMs: 2 * second,
  /** How long it is tried to write an item that can be written, but not now, before the stream ends. */
  retryMs: 30 * second,
} as const;

/** See {@link defaultIngestLimits}. */
export type IngestLimits = { readonly [Name in keyof typeof defaultIngestLimits]: number };
