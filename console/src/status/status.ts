import type { FlowExecution_Status } from "../../../gen/taskledger/v1/flow_execution_pb.ts";

/** How far a run or a task execution is. Both count alike on the wire. */
export type Status = "queued" | "running" | "completed" | "failed" | "cancelled" | "stale" | "deleted";

/** Every status, in the order of the numbers on the wire, from 1. */
export const statuses: readonly Status[] = [
  "queued",
  "running",
  "completed",
  "failed",
  "cancelled",
  "stale",
  "deleted",
];

/** Returns the status with a number. One that this page does not know counts as not ended. */
export function toStatus(number: number): Status {
  return statuses[number - 1] ?? "running";
}

/** Returns the number of a status on the wire. */
export function fromStatus(status: Status): FlowExecution_Status {
  return (statuses.indexOf(status) + 1) as FlowExecution_Status;
}

/** Says whether something in this status will still change by itself. */
export function isOpen(status: Status): boolean {
  return status === "queued" || status === "running";
}
