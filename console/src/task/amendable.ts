import type { Status } from "../status/status.ts";

/** A field of a task execution that a person may amend. */
export type AmendableField = "input" | "output" | "error";

/** Returns what may be amended in a status, undefined if nothing. */
export function amendable(status: Status): AmendableField | undefined {
  switch (status) {
    case "queued":
      return "input";
    case "completed":
      return "output";
    case "failed":
      return "error";
    default:
      return undefined;
  }
}
