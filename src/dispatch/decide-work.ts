import { toErrorText } from "../payload/task-error.ts";
import type { TaskRecord, WorkResult } from "../task-execution/changes.ts";
import { leaseLost } from "../task-execution/conflict.ts";
import type { Decision } from "../task-execution/decide.ts";
import { next } from "../task-execution/lifecycle.ts";
import type { RunRecord } from "../task-execution/run-statements.ts";

const events = { completed: "complete", failed: "fail", cancelled: "cancel" } as const;

/** Reports whether a token is that of the only claim a record ever had. */
export function isTokenOf({ leaseToken }: TaskRecord, token: string): boolean {
  return leaseToken !== null && leaseToken === token;
}

/**
 * Decides what a worker hands in under the token of a record.
 *
 * @returns undefined if the same was handed in before
 * @throws LedgerError LEASE_LOST if the record ended otherwise meanwhile, or its run was deleted
 */
export function decideWork(
  record: TaskRecord,
  run: RunRecord,
  result: WorkResult,
  now: Date,
): Decision | undefined {
  if (record.status === "running" && run.deleteTime === null) {
    return endOf(result, now);
  }
  if (isSame(record, result)) {
    return undefined;
  }
  throw leaseLost(record);
}

/** Returns the change that ends an attempt. */
export function endOf(result: WorkResult, now: Date): Decision {
  const event = events[result.status];
  const field = payloadOf(result);
  return {
    event,
    changedFields: field === undefined ? [] : [field[0]],
    apply(target) {
      target.status = next(target.status, event) as TaskRecord["status"];
      target.endTime = now;
      if (field !== undefined) target[field[0]] = field[1];
    },
  };
}

/** Returns the error of an attempt that ended without its worker, as a result. */
export function failureOf(type: string, message: string): Extract<WorkResult, { status: "failed" }> {
  return {
    status: "failed",
    error: errorText(type, message),
    errorType: type,
    retryable: true,
    retryAfterMs: 0,
  };
}

/** Returns the text of an error that the service itself found. */
export function errorText(type: string, message: string): string {
  return toErrorText({ $typeName: "taskledger.v1.TaskError", message, type, traceback: "" });
}

function payloadOf(result: WorkResult): ["output" | "error", string] | undefined {
  if (result.status === "failed") return ["error", result.error];
  return result.status === "completed" && result.output !== undefined ? ["output", result.output] : undefined;
}

/** Reports whether a record, which may have become stale or been deleted since, ended with this result. */
function isSame(record: TaskRecord, result: WorkResult): boolean {
  const status = record.statusBeforeDelete ?? record.status;
  if (status === "cancelled" && result.status === "failed" && result.isInterruption) {
    // A task that was handed back after it was asked to stop.
    return true;
  }
  if (status !== result.status && status !== "stale") {
    return false;
  }
  if (record.edited && result.status === "completed") {
    // A person has changed since what was handed in, and keeps the last word.
    return true;
  }
  const [field, text] = payloadOf(result) ?? ["output" as const, null];
  return record[field] === text;
}
