import { type Change, payloadFields } from "./changes.ts";
import type { Lookup } from "./record-statements.ts";

/** Returns what to look up for changes, each record once, with the lengths of the payloads to compare. */
export function lookupsOf(changes: readonly Change[]): {
  ids: { id: string; lengths: Lookup["lengths"] }[];
  keys: Lookup[];
} {
  const ids = new Map<string, { id: string; lengths: Lookup["lengths"] }>();
  const keys = new Map<string, Lookup>();
  for (const change of changes) {
    let lengths: Lookup["lengths"] = { input: [], output: [], error: [] };
    if (change.type === "report") {
      const { flowExecutionId, taskName, taskExecutionIdx } = change;
      const key = `${flowExecutionId}/${taskName}/${taskExecutionIdx}`;
      lengths = keys.get(key)?.lengths ?? lengths;
      keys.set(key, { flowExecutionId, taskName, taskExecutionIdx, lengths });
    } else {
      lengths = ids.get(change.id)?.lengths ?? lengths;
      ids.set(change.id, { id: change.id, lengths });
    }
    addLengths(lengths, change);
  }
  return { ids: [...ids.values()], keys: [...keys.values()] };
}

function addLengths(lengths: Lookup["lengths"], change: Change): void {
  if (change.type === "work") {
    const { result } = change;
    if (result.status === "completed" && result.output !== undefined) {
      lengths.output.push(Buffer.byteLength(result.output));
    } else if (result.status === "failed") {
      lengths.error.push(Buffer.byteLength(result.error));
    }
  } else if ("payloads" in change) {
    for (const field of payloadFields) {
      const text = change.payloads[field];
      if (typeof text === "string") lengths[field].push(Buffer.byteLength(text));
    }
  }
}
