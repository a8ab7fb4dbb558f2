import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import {
  TaskExecution_Status as Status,
  TaskExecutionSchema,
} from "../../gen/taskledger/v1/task_execution_pb.ts";
import { axisOf, barOf, spanOf } from "../src/run/timeline-scale.ts";
import { formatDuration } from "../src/time/duration.ts";

const attempt = (status: Status, createMs: number, startMs?: number, endMs?: number) =>
  create(TaskExecutionSchema, {
    status,
    createTime: timestampFromMs(createMs),
    ...(startMs !== undefined && { startTime: timestampFromMs(startMs) }),
    ...(endMs !== undefined && { endTime: timestampFromMs(endMs) }),
  });

test.each([
  [-5, "0 ms"],
  [999, "999 ms"],
  [1500, "1.5 s"],
  [65_000, "1 m 05 s"],
  [3_600_000 * 5 + 60_000, "5 h 01 m"],
  [86_400_000 * 3, "3 d 00 h"],
])("%d ms are %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test("an attempt waits from its creation and runs to its end, or to now", () => {
  const ended = attempt(Status.COMPLETED, 1000, 1500, 2000);
  const open = attempt(Status.RUNNING, 1500, 1750);
  const span = spanOf([ended, open], 3000);
  expect(span).toEqual({ start: 1000, end: 3000 });
  expect(barOf(ended, span, 3000)).toEqual({ waited: { left: 0, width: 25 }, ran: { left: 25, width: 25 } });
  expect(barOf(open, span, 3000).ran).toEqual({ left: 37.5, width: 62.5 });
});

test("what was recorded after it ran did not wait, and what never ran has no bar", () => {
  const recorded = attempt(Status.COMPLETED, 9000, 1000, 2000);
  const span = spanOf([recorded], 10_000);
  expect(span).toEqual({ start: 1000, end: 2000 });
  expect(barOf(recorded, span, 10_000).waited.width).toBe(0);
  expect(barOf(attempt(Status.CANCELLED, 1000), span, 10_000).ran).toBeUndefined();
});

test.each([1, 17, 900, 61_000, 86_400_000, 86_400_000 * 400])(
  "an axis of %d ms has at most six ticks, from zero",
  (end) => {
    const ticks = axisOf({ start: 0, end });
    expect(ticks[0]).toEqual({ ms: 0, percent: 0 });
    expect(ticks.length).toBeLessThanOrEqual(6);
  },
);
