import type { Check, Findings, Measure, Options } from "./figure.ts";

/** The numbers that one run gave, by their unit, such as `records/s`. */
export type Reading = Readonly<Record<string, number>>;

/** One of those that are compared. */
export interface Contender {
  readonly name: string;
  /** What it does, asked for when all is measured. */
  about(): string;
  run(seconds: number): Promise<Reading>;
}

/** A number that follows from one round, and its bound. */
export interface Requirement {
  readonly name: string;
  of(round: Round): number;
  readonly least?: number;
  readonly most?: number;
}

/** What is compared. */
export interface Comparison {
  readonly contenders: readonly Contender[];
  readonly requirements: readonly Requirement[];
  /** What is done before each run, and does not count. */
  readonly settle?: () => Promise<void>;
}

/** Returns what a contender's run in this round gave. */
export type Round = (contender: string, unit: string) => number;

/** How many times as long as the others the first round is. */
const warmUp = 3;

/**
 * Lets contenders run in turns, so that whatever else the machine does meets all of them, and computes the required
 * numbers of each round. The first round only warms up, and is longer: a server compiles what it does often.
 */
export async function compare(
  { contenders, requirements, settle }: Comparison,
  { rounds, seconds }: Options,
  progress: (line: string) => void,
): Promise<Findings> {
  const taken: Map<string, Reading>[] = [];
  for (let round = 0; round <= rounds; round++) {
    const readings = new Map<string, Reading>();
    for (const { name, run } of contenders) {
      await settle?.();
      const reading = await run(round === 0 ? seconds * warmUp : seconds);
      readings.set(name, reading);
      progress(`${round === 0 ? "warm-up" : `round ${round}`}: ${name}: ${show(reading)}`);
    }
    if (round > 0) taken.push(readings);
  }
  const measures: Measure[] = contenders.flatMap(({ name }) =>
    Object.keys(taken[0]?.get(name) ?? {}).map((unit) => ({
      name: `${name}, ${unit}`,
      values: taken.map((readings) => readings.get(name)![unit]!),
    })),
  );
  const checks: Check[] = requirements.map(({ of, ...bound }) => ({
    ...bound,
    values: taken.map((readings) => of((contender, unit) => readings.get(contender)![unit]!)),
  }));
  const notes = contenders.map(({ name, about }) => `${name}: ${about()}`);
  return { measures, checks, notes, duration: `${rounds} rounds of ${seconds} s` };
}

/** Returns the requirement that one contender does at least so many times as much as another. */
export function atLeast(least: number, ours: string, theirs: string, unit: string): Requirement {
  return {
    name: `${ours} / ${theirs}`,
    least,
    of: (round) => round(ours, unit) / round(theirs, unit),
  };
}

/** One way of doing what a contender does. */
export interface Variant {
  readonly name: string;
  run(seconds: number): Promise<Reading>;
}

/**
 * Makes a contender that does what it does in the way that turns out best: its first run tries all of them.
 *
 * @param unit which number is to be the largest
 */
export function bestOf(name: string, about: string, unit: string, variants: readonly Variant[]): Contender {
  let best: Variant | undefined;
  const tried: string[] = [];
  return {
    name,
    about: () => `${about} Tried: ${tried.join("; ")}. Taken: ${best?.name}.`,
    async run(seconds) {
      if (best !== undefined) return best.run(seconds);
      let most: Reading = { [unit]: -1 };
      for (const variant of variants) {
        const reading = await variant.run(seconds / warmUp);
        tried.push(`${variant.name} ${Math.round(reading[unit]!)} ${unit}`);
        if (reading[unit]! > most[unit]!) {
          most = reading;
          best = variant;
        }
      }
      return most;
    },
  };
}

function show(reading: Reading): string {
  return Object.entries(reading)
    .map(([unit, value]) => `${value < 100 ? value.toFixed(2) : Math.round(value)} ${unit}`)
    .join(", ");
}
