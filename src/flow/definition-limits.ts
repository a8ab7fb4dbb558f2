/**
 * What a flow definition may be at most.
 *
 * Lengths of names and texts are in Unicode code points, as protovalidate counts them.
 */
export const definitionLimits = {
  /** UTF-8 bytes of the text. The YAML parser needs seconds for the worst text of this size. */
  bytes: 1_048_576,
  /**
   * UTF-16 units that aliases may stand for, all together. With this the parts that aliases repeat are no
   * larger than the text may be, so that nothing that is made from a definition is either.
   */
  aliased: 1_048_576,
  /**
   * Collections inside each other: a flow, its tasks, a task, and an input that is as deep as payloads may be.
   * Deep ones would overflow the parser's stack.
   */
  depth: 33,
  /** Tasks of a flow. */
  tasks: 10_000,
  /** Characters of the name of a flow or a task, and of an executor. */
  name: 200,
  /** Characters of the description. */
  description: 4_096,
  /** How often a task may be tried. */
  attempts: { min: 1, max: 100 },
  /** By how much each further wait for a retry is longer. */
  multiplier: { min: 1, max: 10 },
  /** Milliseconds to wait for a retry. */
  backoffMs: { min: 0, max: 86_400_000 },
  /** Milliseconds that an attempt may take. */
  timeoutMs: { min: 1000, max: 7 * 86_400_000 },
  /** Milliseconds that a worker holds a task without a heartbeat. A worker cannot do with less than a second. */
  leaseMs: { min: 1000, max: 3_600_000 },
  /** Error types after which no retry helps, and the characters of each. */
  errorTypes: 100,
  errorType: 256,
  /** Problems that are reported. Whoever has more corrects these first. */
  problems: 100,
} as const;
