/**
 * What a flow definition may be at most.
 *
 * Lengths of names and texts are in Unicode code points, as protovalidate counts them.
 */
export const definitionLimits = {
  /** UTF-8 bytes of the text. The YAML parser needs up to two seconds for the worst text of this size. */
  bytes: 1_048_576,
  /**
   * UTF-16 units that aliases may stand for, all together. With this the parts that aliases repeat are no
   * larger than the text may be, so that nothing that is made from a definition is either.
   */
  aliased: 1_048_576,
  /** Collections inside each other. A definition has four; deep ones would overflow the parser's stack. */
  depth: 30,
  /** Tasks of a flow. */
  tasks: 10_000,
  /** Characters of the name of a flow or a task, and of an executor. */
  name: 200,
  /** Characters of the description. */
  description: 4_096,
  /** Problems that are reported. Whoever has more corrects these first. */
  problems: 100,
} as const;
