import type { Actor } from "../../../gen/taskledger/v1/task_execution_event_pb.ts";

/** Returns who made a change, as people call them. */
export function actorName(actor: Actor | undefined): string {
  if (actor === undefined) {
    return "somebody";
  }
  if (actor.kind === "system") {
    return "the service";
  }
  return actor.keyName === "" ? actor.subject : `${actor.keyName} (${actor.kind})`;
}
