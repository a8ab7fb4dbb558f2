import type { Caller } from "./caller.ts";

/** Returns what `modified_by` says of a change that a caller made. No request can set it. */
export function modifiedByOf({ kind, subject }: Caller): string {
  switch (kind) {
    case "worker":
    case "system":
      return "system";
    case "user":
      return subject;
    case "integration":
    case "service-account":
      return kind;
  }
}
