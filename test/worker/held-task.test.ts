import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ClaimedTaskExecutionSchema } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { HeldTask } from "../../src/worker/held-task.ts";

describe("a task in hand", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const hold = (leaseMs: number, more: { timeoutMs?: number; waitedMs?: number } = {}) => {
    const { timeoutMs, waitedMs = 0 } = more;
    const claimed = create(ClaimedTaskExecutionSchema, {
      taskExecution: { id: "id" },
      token: 1n,
      lease: durationFromMs(leaseMs),
      ...(timeoutMs !== undefined && { timeout: durationFromMs(timeoutMs) }),
    });
    const receivedAt = performance.now();
    return new HeldTask(claimed, { sentAt: receivedAt - waitedMs, receivedAt }, 1000, () => {});
  };

  test("is interrupted before its lease ends, and not while it is kept", () => {
    const held = hold(30_000);
    vi.advanceTimersByTime(28_000);
    held.keep(performance.now(), 30_000);
    vi.advanceTimersByTime(28_999);
    expect(held.interruption).toBeUndefined();
    vi.advanceTimersByTime(2);
    expect(held.interruption).toBe("lease-lost");
  });

  test("counts the lease from when the heartbeat was sent, however late it is answered", () => {
    const held = hold(30_000);
    const sentAt = performance.now() + 10_000;
    vi.advanceTimersByTime(25_000);
    held.keep(sentAt, 30_000);
    vi.advanceTimersByTime(13_999);
    expect(held.interruption).toBeUndefined();
    vi.advanceTimersByTime(2);
    expect(held.interruption).toBe("lease-lost");
  });

  test("asks at once how long its lease is if the claim has waited", () => {
    expect(hold(30_000).nextBeat - performance.now()).toBe(10_000);
    expect(hold(30_000, { waitedMs: 15_000 }).nextBeat - performance.now()).toBe(-5000);
  });

  test("is interrupted when it has taken as long as it may, whatever is left of its lease", () => {
    const held = hold(30_000, { timeoutMs: 40_000 });
    vi.advanceTimersByTime(20_000);
    // Less than the lease remains, because the timeout is near.
    held.keep(performance.now(), 20_000);
    vi.advanceTimersByTime(19_999);
    expect(held.interruption).toBeUndefined();
    vi.advanceTimersByTime(2);
    expect(held.interruption).toBe("timeout");
  });

  test("watches nothing any more when it has been handed in, not even after a late answer", () => {
    const held = hold(30_000);
    held.close();
    held.keep(performance.now(), 30_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("sends news of its progress at most once a second", () => {
    const held = hold(30_000);
    vi.advanceTimersByTime(100);
    held.task.progress(0.5);
    held.task.progress(0.6, "more");
    expect(held.nextBeat - performance.now()).toBe(900);
    expect(held.takeProgress()).toEqual({ fraction: 0.6, message: "more" });
    expect(held.takeProgress()).toBeUndefined();
  });
});
