import type { EventActor, EventRow } from "../../src/task-execution/event-statements.ts";

/** Returns an event of a run itself, as it is written past the write path. */
export function eventRow(
  flowExecutionId: string,
  revision: string,
  type: EventRow["type"] = "create",
): EventRow {
  return {
    flowExecutionId,
    revision,
    taskExecutionId: null,
    type,
    fromStatus: null,
    toStatus: "queued",
    reason: "",
    causeId: null,
    changedFields: "[]",
    flowFromStatus: null,
  };
}

/** Returns who writes such events. */
export function eventActor(organizationId: string, time = new Date()): EventActor {
  return { organizationId, subject: "", kind: "system", keyName: "", requestId: "", time };
}
