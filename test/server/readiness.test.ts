import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createReadiness } from "../../src/server/readiness.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("is not ready before the first probe succeeds", async () => {
  const probe = Promise.withResolvers<void>();
  const readiness = createReadiness({ probe: () => probe.promise });
  expect(readiness.isReady()).toBe(false);
  probe.resolve();
  await vi.advanceTimersByTimeAsync(0);
  expect(readiness.isReady()).toBe(true);
  readiness.close();
});

test("turns not ready when a probe fails, and ready again when one succeeds", async () => {
  let away = false;
  const readiness = createReadiness({
    probe: () => (away ? Promise.reject(new Error("away")) : Promise.resolve()),
  });
  const changes: boolean[] = [];
  readiness.subscribe((ready) => changes.push(ready), new AbortController().signal);
  await vi.advanceTimersByTimeAsync(5000);
  away = true;
  await vi.advanceTimersByTimeAsync(1000);
  expect(readiness.isReady()).toBe(false);
  away = false;
  await vi.advanceTimersByTimeAsync(1000);
  expect(changes).toEqual([true, false, true]);
  readiness.close();
});

test("turns not ready within 5 seconds when the probe hangs", async () => {
  vi.useRealTimers();
  let hangs = false;
  const readiness = createReadiness({
    probe: () => (hangs ? new Promise(() => undefined) : Promise.resolve()),
    intervalMs: 20,
    timeoutMs: 50,
  });
  await expect.poll(() => readiness.isReady()).toBe(true);
  hangs = true;
  const start = performance.now();
  await expect.poll(() => readiness.isReady(), { interval: 5 }).toBe(false);
  // As many times faster than the defaults as the times here are shorter.
  expect(performance.now() - start).toBeLessThan(1000);
  readiness.close();
});

test("stays not ready once it drains, whatever the probe says", async () => {
  const readiness = createReadiness({ probe: () => Promise.resolve() });
  await vi.advanceTimersByTimeAsync(0);
  readiness.drain();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(readiness.isReady()).toBe(false);
  readiness.close();
});

test("probes no more once it is closed, and tells no one who has left", async () => {
  const probe = vi.fn(() => Promise.resolve());
  const readiness = createReadiness({ probe });
  const gone = new AbortController();
  const listener = vi.fn();
  readiness.subscribe(listener, gone.signal);
  gone.abort();
  await vi.advanceTimersByTimeAsync(0);
  readiness.close();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(probe).toHaveBeenCalledTimes(1);
  expect(listener).not.toHaveBeenCalled();
});
