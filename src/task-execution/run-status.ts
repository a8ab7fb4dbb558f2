import type { LiveStatus, Status } from "./lifecycle.ts";

/** Who runs the tasks of a run: an outside engine, or the run itself through workers. */
export type Dispatch = "external" | "managed";

/** How many tasks of a run have their newest record in each status. */
export type TaskCounts = Record<LiveStatus, number>;

/** What the status of a run follows from. */
export interface RunState {
  readonly dispatch: Dispatch;
  readonly counts: Readonly<TaskCounts>;
  /** How many of the failed tasks are such whose failure is tolerated. */
  readonly tolerated: number;
  /** How many tasks the flow version has. */
  readonly totalTasks: number;
  /** When the first task was started, null before. */
  readonly startTime: Date | null;
  readonly cancelTime: Date | null;
  readonly deleteTime: Date | null;
}

/**
 * Returns the status of a run.
 *
 * It is cancelled or deleted if someone said so. Else it follows the tasks: as long as one is open, or
 * none has failed and some have no record yet, it goes on. A managed run has made the records of all that
 * can run, so that it ends with its last open task.
 */
export function flowStatus(run: RunState): Status {
  const { counts, tolerated, totalTasks, startTime, cancelTime, deleteTime } = run;
  if (deleteTime !== null) return "deleted";
  if (cancelTime !== null) return "cancelled";
  const ended = counts.completed + counts.failed + counts.cancelled + counts.stale;
  const open = counts.queued + counts.running;
  if (open === 0 && counts.failed > tolerated) return "failed";
  const isOver = run.dispatch === "managed" || ended >= totalTasks;
  if (open > 0 || !isOver) {
    return startTime === null && counts.running === 0 && ended === counts.cancelled ? "queued" : "running";
  }
  if (counts.cancelled > 0) return "cancelled";
  // What comes after a stale task may never have run: executing anew what is stale runs that too.
  if (counts.stale > 0) return "stale";
  // What was deleted, and what comes after it, never ran.
  return ended < totalTasks ? "cancelled" : "completed";
}

/** Reports whether a run in this status has ended. */
export function isEnded(status: Status): boolean {
  return status !== "queued" && status !== "running" && status !== "deleted";
}
