/** The statuses of a task execution, in the order of a successful life, then the others. */
export const statuses = [
  "queued",
  "running",
  "completed",
  "failed",
  "cancelled",
  "stale",
  "deleted",
] as const;
export type Status = (typeof statuses)[number];

/** A status that a deleted record may have had before. */
export type LiveStatus = Exclude<Status, "deleted">;

/**
 * The lifecycle of a task execution: for each event, from which status it leads where.
 *
 * This table is the only place that knows; every write asks it. What is not listed cannot happen.
 * `undelete` leads to the status before, which only the record knows.
 */
const transitions = {
  start: { queued: "running" },
  complete: { running: "completed" },
  fail: { running: "failed" },
  cancel: { queued: "cancelled", running: "cancelled" },
  outdate: { completed: "stale", failed: "stale" },
  delete: {
    queued: "deleted",
    running: "deleted",
    completed: "deleted",
    failed: "deleted",
    cancelled: "deleted",
    stale: "deleted",
  },
  undelete: { deleted: "status before" },
} as const satisfies Record<string, Partial<Record<Status, Status | "status before">>>;

/** What moves a task execution from one status to another. */
export type LifecycleEvent = keyof typeof transitions;
export const lifecycleEvents = Object.keys(transitions) as LifecycleEvent[];

/**
 * Returns the status that an event leads to, or undefined if it cannot happen.
 *
 * @param before the status that a deleted record had before it was deleted
 */
export function next(status: Status, event: LifecycleEvent, before?: LiveStatus): Status | undefined {
  const outcomes: Partial<Record<Status, Status | "status before">> = transitions[event];
  const outcome = outcomes[status];
  return outcome === "status before" ? before : outcome;
}

/** Reports whether a task execution in this status has yet to end. */
export function isOpen(status: Status): boolean {
  return next(status, "cancel") !== undefined;
}

/** The status that a report asks for, and the event that leads there from another one. */
const reportEvents = {
  running: "start",
  completed: "complete",
  failed: "fail",
  cancelled: "cancel",
} as const satisfies Partial<Record<Status, LifecycleEvent>>;

/** The statuses that a report may ask for. */
export type ReportStatus = "queued" | keyof typeof reportEvents;

/** Returns the event that leads to a reported status, or undefined for `queued`, to which none leads. */
export function eventTo(status: ReportStatus): LifecycleEvent | undefined {
  return status === "queued" ? undefined : reportEvents[status];
}
