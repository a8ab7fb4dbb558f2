import { setTimeout as sleep } from "node:timers/promises";

/** One life of something that is to go on. */
export interface Life {
  /** When it began, by `performance.now()`. */
  readonly begin: number;
  /** Settles at its end. */
  readonly ended: Promise<unknown>;
}

/** How patient one is with what ends again and again. Times in milliseconds. */
export interface Patience {
  /** What lives less than this ended at once. It is several times what a process takes until it serves. */
  readonly steadyMs: number;
  /** The pause before the next life; each life that ended at once doubles it. */
  readonly pauseMs: number;
  readonly mostPauseMs: number;
  /** How many in a row may end at once. With the pauses it is about half a minute. */
  readonly mostFailures: number;
}

const defaultPatience: Patience = { steadyMs: 10_000, pauseMs: 100, mostPauseMs: 5000, mostFailures: 10 };

/**
 * Lets a new life follow each one that ends, until the signal aborts.
 *
 * @throws Error if one after the other ends at once
 */
export async function keepRunning(
  first: Life,
  next: () => Life,
  signal: AbortSignal,
  { steadyMs, pauseMs, mostPauseMs, mostFailures }: Patience = defaultPatience,
): Promise<void> {
  let life = first;
  for (let failures = 0; ; life = next()) {
    await life.ended;
    failures = performance.now() - life.begin < steadyMs ? failures + 1 : 0;
    if (failures === mostFailures) {
      throw new Error(`${failures} in a row ended within ${steadyMs / 1000} s of their start`);
    }
    const pause = Math.min(pauseMs * 2 ** failures, mostPauseMs);
    await sleep(pause, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
  }
}
