import { median, quantile } from "./statistics.ts";

/**
 * Does something again and again for some seconds, a number of times at once.
 *
 * @param work returns how many items it has dealt with
 * @returns how many items were dealt with in a second, those that were still under way at the end included
 */
export async function rateOf(
  inFlight: number,
  seconds: number,
  work: (loop: number) => Promise<number>,
): Promise<number> {
  const begin = performance.now();
  const deadline = begin + seconds * 1000;
  let items = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async (_, loop) => {
      while (performance.now() < deadline) {
        const done = await work(loop);
        items += done;
      }
    }),
  );
  return (items / (performance.now() - begin)) * 1000;
}

/** How long single calls took, in milliseconds. */
export interface Latency {
  readonly "median ms": number;
  readonly "p99 ms": number;
}

/** Does something again and again for some seconds, one after the other, and measures each. */
export async function latencyOf(seconds: number, work: () => Promise<unknown>): Promise<Latency> {
  const times: number[] = [];
  const deadline = performance.now() + seconds * 1000;
  for (let begin = performance.now(); begin < deadline; ) {
    await work();
    const now = performance.now();
    times.push(now - begin);
    begin = now;
  }
  return { "median ms": median(times), "p99 ms": quantile(times, 0.99) };
}
