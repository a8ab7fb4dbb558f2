import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { isPassing, persist } from "../../src/worker/persist.ts";

const errorOf = (code: Code, details: "info" | "retry" | "none" = "none", delayMs = 50) =>
  new ConnectError("no", code, undefined, [
    ...(details === "info" ? [{ desc: ErrorInfoSchema, value: { reason: "X", domain: "taskledger" } }] : []),
    ...(details === "retry"
      ? [{ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(delayMs) } }]
      : []),
  ]);

const cases: [string, ConnectError, boolean][] = [
  ["the service is away", errorOf(Code.Unavailable), true],
  ["it took too long", errorOf(Code.DeadlineExceeded), true],
  ["others changed the same", errorOf(Code.Aborted), true],
  ["there is too much to do at the moment", errorOf(Code.ResourceExhausted, "retry"), true],
  ["the message is too large", errorOf(Code.ResourceExhausted), false],
  ["the connection broke", errorOf(Code.Internal), true],
  ["the service has a defect", errorOf(Code.Internal, "info"), false],
  ["the request is wrong", errorOf(Code.InvalidArgument), false],
  ["the key is not known", errorOf(Code.Unauthenticated), false],
];
for (const [name, error, want] of cases) {
  test(`a call is ${want ? "repeated" : "given up"} when ${name}`, () => {
    expect(isPassing(error)).toBe(want);
  });
}

test("a call is repeated until it is answered, and no sooner than the service says", async () => {
  const times: number[] = [];
  const troubles = vi.fn();
  const answer = await persist(
    async () => {
      times.push(performance.now());
      if (times.length === 1) throw errorOf(Code.ResourceExhausted, "retry", 300);
      if (times.length === 2) throw errorOf(Code.Unavailable);
      return "answer";
    },
    { onTrouble: troubles },
  );
  expect(answer).toBe("answer");
  expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(299);
  expect(troubles).toHaveBeenCalledTimes(2);
});

test("a call is not repeated any more when it is broken off", async () => {
  const over = new AbortController();
  const call = vi.fn(async () => {
    throw errorOf(Code.Unavailable);
  });
  const ended = persist(call, { signal: over.signal, onTrouble: () => over.abort() });
  await expect(ended).rejects.toBeInstanceOf(ConnectError);
  expect(call).toHaveBeenCalledTimes(1);
});
