/** What can happen to the fleet. */
export const faultKinds = [
  "kill-worker",
  "pause-worker",
  "kill-server",
  "pause-server",
  "restart-postgres",
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** One thing that happens. Times in milliseconds. */
export interface Fault {
  readonly kind: FaultKind;
  /** When, after the first run was submitted. */
  readonly atMs: number;
  /** Which of the processes of that kind; if it is gone or paused at that time, the next one. */
  readonly target: number;
  /** How long it is paused, or how long after its end it is started again. */
  readonly lastsMs: number;
}

/** How often each kind of fault happens: a share of the rest, after each wanted kind once. */
const shares: Readonly<Record<FaultKind, number>> = {
  "kill-worker": 0.5,
  "pause-worker": 0.22,
  "kill-server": 0.16,
  "pause-server": 0.07,
  "restart-postgres": 0.05,
};

/** How long pauses last at least and at most, and how long it takes until what was killed is started again. */
const lasting: Readonly<Record<FaultKind, readonly [least: number, most: number]>> = {
  "kill-worker": [100, 500],
  // From less than a lease to more than a lease, the grace period and a sweep together.
  "pause-worker": [500, 6500],
  "kill-server": [100, 1500],
  "pause-server": [500, 3500],
  "restart-postgres": [0, 0],
};

/** Plans what happens within a time: each wanted kind at least once, the rest by chance. */
export function planFaults(
  random: () => number,
  { kinds, count, windowMs }: { kinds: readonly FaultKind[]; count: number; windowMs: number },
): Fault[] {
  // A kind stands in the lot as often as its share says.
  const lot = kinds.flatMap((kind) => Array<FaultKind>(Math.round(shares[kind] * 100)).fill(kind));
  const any = () => lot[Math.floor(random() * lot.length)]!;
  return Array.from({ length: Math.max(count, kinds.length) }, (_, index): Fault => {
    const kind = kinds[index] ?? any();
    const [least, most] = lasting[kind];
    return {
      kind,
      atMs: Math.round(random() * windowMs),
      target: Math.floor(random() * 1000),
      lastsMs: Math.round(least + random() * (most - least)),
    };
  }).sort((a, b) => a.atMs - b.atMs);
}
