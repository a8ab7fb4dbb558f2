import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { isOpen, toStatus } from "../status/status.ts";
import { toMs } from "../time/duration.ts";

/** The time that a timeline shows, in milliseconds. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A part of the width, in percent. */
export interface Part {
  readonly left: number;
  readonly width: number;
}

/** Returns the time in which attempts waited and ran: to the last end, or to now if one is open. */
export function spanOf(tasks: readonly TaskExecution[], now: number): Span {
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const task of tasks) {
    start = Math.min(start, beginOf(task));
    end = Math.max(end, endOf(task, now));
  }
  return tasks.length === 0 ? { start: now, end: now + 1 } : { start, end: Math.max(end, start + 1) };
}

/** Returns where an attempt waited and where it ran; undefined if it never did. */
export function barOf(task: TaskExecution, span: Span, now: number): { waited: Part; ran: Part | undefined } {
  const start = toMs(task.startTime);
  const end = endOf(task, now);
  return {
    waited: partOf(span, beginOf(task), start ?? end),
    ran: start === undefined ? undefined : partOf(span, start, end),
  };
}

/** Returns when an attempt began to wait. One that was recorded after it had run did not wait. */
export function beginOf(task: TaskExecution): number {
  const created = toMs(task.createTime) ?? 0;
  return Math.min(created, toMs(task.startTime) ?? created);
}

function endOf(task: TaskExecution, now: number): number {
  const created = toMs(task.createTime) ?? 0;
  return toMs(task.endTime) ?? (isOpen(toStatus(task.status)) ? Math.max(now, created) : created);
}

function partOf({ start, end }: Span, from: number, to: number): Part {
  const scale = 100 / (end - start);
  return { left: (from - start) * scale, width: Math.max(0, to - from) * scale };
}

const day = 86_400_000;
const seconds = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400,
];
const sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500, ...seconds.map((each) => each * 1000)];

/** Returns about five round times on the axis, counted from its start. */
export function axisOf({ start, end }: Span): { readonly ms: number; readonly percent: number }[] {
  const length = end - start;
  const size = sizes.find((each) => length / each <= 5) ?? day * Math.ceil(length / day / 5);
  return Array.from({ length: Math.floor(length / size) + 1 }, (_, index) => ({
    ms: index * size,
    percent: (100 * index * size) / length,
  })).filter(({ percent }) => percent <= 92);
}
