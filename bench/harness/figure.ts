/** What every figure is measured with. */
export interface Options {
  /** How many rounds count. One more goes before them, to warm up. */
  readonly rounds: number;
  /** How long each contender runs in a round. */
  readonly seconds: number;
  /** How many records there are in a full ledger. */
  readonly records: number;
  /** How long the memory of the service is watched. */
  readonly soakSeconds: number;
}

/** Something to measure. */
export interface Figure {
  /** A word for the command line. */
  readonly name: string;
  readonly title: string;
  measure(options: Options, progress: (line: string) => void): Promise<Findings>;
}

/** A number that was taken several times. */
export interface Measure {
  /** What of whom, such as `echo, calls/s`. */
  readonly name: string;
  readonly values: readonly number[];
}

/** A measure that has a bound. */
export interface Check extends Measure {
  readonly least?: number;
  readonly most?: number;
}

/** What came of measuring a figure. */
export interface Findings {
  readonly measures: readonly Measure[];
  readonly checks: readonly Check[];
  /** How it was measured: a sentence or two for each contender. */
  readonly notes: readonly string[];
  /** For how long, such as `5 rounds of 3 s`. */
  readonly duration: string;
}
