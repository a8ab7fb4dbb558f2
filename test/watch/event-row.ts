import type { Author } from "../../src/task-execution/changes.ts";
import type { EventRow } from "../../src/task-execution/event-statements.ts";

/** Who writes such events. */
const nobody: Author = {
  caller: { organizationId: "", subject: "", kind: "system", role: "worker", keyName: "" },
  requestId: "",
};

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
    author: nobody,
    flowFromStatus: null,
  };
}
