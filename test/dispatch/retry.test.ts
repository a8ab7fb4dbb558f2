import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { afterFailure, afterInterruption, mostInterruptions } from "../../src/dispatch/retry.ts";

const policy = {
  maxAttempts: 5,
  initialBackoffMs: 1000,
  multiplier: 2,
  maxBackoffMs: 6000,
  nonRetryable: ["BadInput", "Timeout"],
};
const failure = {
  status: "failed",
  error: "{}",
  errorType: "Boom",
  retryable: true,
  retryAfterMs: 0,
} as const;
const longest = () => 1 - Number.EPSILON;
const shortest = () => 0;

describe("after a failure", () => {
  test.each([
    [1, 500, 1000],
    [2, 1000, 2000],
    [3, 2000, 4000],
    [4, 3000, 6000],
  ])("number %i the next attempt begins after %i to %i ms", (attempt, least, most) => {
    const record = { attempt, interruptions: 0 };
    expect(afterFailure(record, policy, failure, shortest)).toEqual({ retry: true, delayMs: least });
    expect(afterFailure(record, policy, failure, longest)).toEqual({ retry: true, delayMs: most });
  });

  test("of the last attempt there is none", () => {
    expect(afterFailure({ attempt: 5, interruptions: 0 }, policy, failure, shortest)).toEqual({
      retry: false,
    });
  });

  test("interruptions are not counted, neither for the attempts nor for the backoff", () => {
    const record = { attempt: 7, interruptions: 3 };
    expect(afterFailure(record, policy, failure, longest)).toEqual({ retry: true, delayMs: 6000 });
    expect(afterFailure({ attempt: 4, interruptions: 3 }, policy, failure, longest)).toMatchObject({
      delayMs: 1000,
    });
    expect(afterFailure({ attempt: 8, interruptions: 3 }, policy, failure, longest)).toEqual({
      retry: false,
    });
  });

  test.each<[string, Partial<typeof failure> | object]>([
    ["of a type after which no retry helps", { errorType: "BadInput" }],
    ["that the worker says no retry helps after", { retryable: false }],
  ])("%s there is no other attempt", (_what, more) => {
    const record = { attempt: 1, interruptions: 0 };
    expect(afterFailure(record, policy, { ...failure, ...more }, shortest)).toEqual({ retry: false });
  });

  test("types are compared as they are", () => {
    for (const errorType of ["badinput", "BadInput ", "Bad", ""]) {
      expect(
        afterFailure({ attempt: 1, interruptions: 0 }, policy, { ...failure, errorType }, shortest).retry,
      ).toBe(true);
    }
  });

  test("the worker can ask for a longer wait, past the largest backoff, and not for a shorter one", () => {
    const wait = (retryAfterMs: number) =>
      afterFailure({ attempt: 2, interruptions: 0 }, policy, { ...failure, retryAfterMs }, longest);
    expect(wait(100_000)).toEqual({ retry: true, delayMs: 100_000 });
    expect(wait(1)).toEqual({ retry: true, delayMs: 2000 });
  });

  const policies = fc.record({
    maxAttempts: fc.integer({ min: 1, max: 100 }),
    initialBackoffMs: fc.integer({ min: 0, max: 86_400_000 }),
    multiplier: fc.double({ min: 1, max: 10, noNaN: true }),
    maxBackoffMs: fc.integer({ min: 0, max: 86_400_000 }),
    nonRetryable: fc.constant([]),
  });
  test("whatever the policy is, there are so many attempts and no more, and no wait is longer than the largest", () => {
    fc.assert(
      fc.property(policies, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (any, chance) => {
        let attempt = 1;
        for (; attempt <= 100; attempt++) {
          const verdict = afterFailure({ attempt, interruptions: 0 }, any, failure, () => chance);
          if (!verdict.retry) break;
          const full = Math.min(any.initialBackoffMs * any.multiplier ** (attempt - 1), any.maxBackoffMs);
          expect(Number.isSafeInteger(verdict.delayMs)).toBe(true);
          expect(verdict.delayMs).toBeGreaterThanOrEqual(Math.floor(full / 2));
          expect(verdict.delayMs).toBeLessThanOrEqual(Math.ceil(full));
        }
        expect(attempt).toBe(any.maxAttempts);
      }),
    );
  });
});

describe("after an interruption", () => {
  test("the first time nobody waits, and then longer each time", () => {
    const delays = [0, 1, 2, 3, 4].map((interruptions) =>
      afterInterruption({ interruptions }, policy, longest),
    );
    expect(delays.map((verdict) => verdict.retry && verdict.delayMs)).toEqual([0, 1000, 2000, 4000, 6000]);
  });

  test("there is another attempt also where failures are not retried, up to a number of them", () => {
    const never = { ...policy, maxAttempts: 1 };
    for (let interruptions = 0; interruptions < mostInterruptions - 1; interruptions++) {
      expect(afterInterruption({ interruptions }, never, shortest).retry).toBe(true);
    }
    expect(afterInterruption({ interruptions: mostInterruptions - 1 }, never, shortest)).toEqual({
      retry: false,
    });
  });
});
