import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { type Status, toStatus } from "../status/status.ts";

/** What a graph shows of one task: the status of its newest records, and how many there are. */
export interface TaskState {
  readonly status: Status | undefined;
  readonly newestId: string;
  readonly records: number;
}

/** The status that shows when the items of a loop differ: the one that needs attention first. */
const urgency: readonly Status[] = [
  "failed",
  "running",
  "queued",
  "stale",
  "cancelled",
  "completed",
  "deleted",
];

/**
 * Returns the state of each task by name: what counts is the record with the highest idx, of each item if the
 * task is a loop.
 */
export function taskStates(records: readonly TaskExecution[]): ReadonlyMap<string, TaskState> {
  const byTask = Map.groupBy(records, ({ taskName }) => taskName);
  return new Map([...byTask].map(([name, ofTask]) => [name, stateOf(ofTask)]));
}

function stateOf(records: readonly TaskExecution[]): TaskState {
  const newest = [...Map.groupBy(records, ({ iteration }) => iteration ?? -1).values()].map(lastOf);
  const found = new Set(newest.map(({ status }) => toStatus(status)));
  return {
    status: urgency.find((each) => found.has(each)),
    newestId: lastOf(newest).id,
    records: records.length,
  };
}

function lastOf(records: readonly TaskExecution[]): TaskExecution {
  return records.reduce((left, right) => (left.taskExecutionIdx > right.taskExecutionIdx ? left : right));
}
