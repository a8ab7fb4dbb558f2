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
    for (const [field, text] of payloadsOf(change)) {
      lengths[field].push(Buffer.byteLength(text));
    }
  }
  return { ids: [...ids.values()], keys: [...keys.values()] };
}

function payloadsOf(change: Change): [keyof Lookup["lengths"], string][] {
  if (change.type === "work") {
    const { result } = change;
    if (result.status === "completed" && result.output !== undefined) return [["output", result.output]];
    return result.status === "failed" ? [["error", result.error]] : [];
  }
  if (!("payloads" in change)) {
    return [];
  }
  return payloadFields.flatMap((field) => {
    const text = change.payloads[field];
    return typeof text === "string" ? [[field, text] as [typeof field, string]] : [];
  });
}
