import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { keepRunning, type Life } from "../../src/processes/keep-running.ts";

const patience = { steadyMs: 60, pauseMs: 1, mostPauseMs: 8, mostFailures: 4 };

/** Returns what begins lives of these lengths, in ms, and when each began; then one that lasts. */
function lives(...lengths: number[]) {
  const begins: number[] = [];
  const next = (): Life => {
    const begin = performance.now();
    begins.push(begin);
    return { begin, ended: sleep(lengths.shift() ?? 100_000, undefined, { ref: false }) };
  };
  return { begins, next };
}

test("what ends is followed by another, as often as it lived for a while", async () => {
  const { begins, next } = lives(70, 70, 70, 70, 70, 70);
  const stop = new AbortController();
  void keepRunning(next(), next, stop.signal, patience);
  await expect.poll(() => begins.length).toBe(7);
});

test("what ends at once again and again is given up, after pauses that grow", async () => {
  const { begins, next } = lives(0, 0, 0, 0, 0, 0);
  const stop = new AbortController();
  await expect(keepRunning(next(), next, stop.signal, patience)).rejects.toThrow("4 in a row ended within");
  const [first, second, third, fourth] = begins as [number, number, number, number];
  expect(begins).toHaveLength(4);
  expect(second - first).toBeGreaterThanOrEqual(2);
  expect(third - second).toBeGreaterThanOrEqual(4);
  expect(fourth - third).toBeGreaterThanOrEqual(8);
});

test("one that lives for a while makes those before it forgotten", async () => {
  const { begins, next } = lives(0, 0, 0, 70, 0, 0, 0);
  const stop = new AbortController();
  void keepRunning(next(), next, stop.signal, patience);
  await expect.poll(() => begins.length).toBe(8);
});

test("nothing follows what ends when it is told to stop, also in a pause", async () => {
  const stop = new AbortController();
  const { begins, next } = lives(0);
  const kept = keepRunning(next(), next, stop.signal, { ...patience, pauseMs: 50_000, mostPauseMs: 50_000 });
  await sleep(20);
  stop.abort();
  await kept;
  expect(begins).toHaveLength(1);
});
