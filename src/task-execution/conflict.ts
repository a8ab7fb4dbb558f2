import { create } from "@bufbuild/protobuf";
import { ConflictSchema, Conflict_Verdict as Verdict } from "../../gen/taskledger/v1/error_details_pb.ts";
import { LedgerError, type Problem } from "../errors.ts";
import type { TaskRecord } from "./changes.ts";
import { withoutPayloads } from "./task-execution.message.ts";

/** Returns the error for a refused change of a record that the caller may see. */
export function conflict(
  problem: Problem,
  message: string,
  current: TaskRecord,
  verdict: Verdict,
  more: { metadata?: Record<string, string>; differingFields?: string[] } = {},
): LedgerError {
  const value = create(ConflictSchema, {
    current: withoutPayloads(current),
    differingFields: more.differingFields ?? [],
    verdict,
  });
  return new LedgerError(problem, message, {
    metadata: { status: current.status, ...more.metadata },
    details: [{ desc: ConflictSchema, value }],
  });
}

/** Names a record for people: its key without the run. */
export function nameOf({ taskName, taskExecutionIdx }: TaskRecord): string {
  return `task execution ${taskName}/${taskExecutionIdx}`;
}

/**
 * Returns the error for a report whose lease is lost.
 *
 * @param record the record, if the organization has it and the token was once good for it
 */
export function leaseLost(record?: TaskRecord): LedgerError {
  const message = "the lease of this task execution is lost; stop working on it";
  return record === undefined
    ? new LedgerError("LEASE_LOST", message)
    : conflict("LEASE_LOST", message, record, Verdict.STOP);
}

/** Returns the error for a report by somebody else than the worker that holds a record. */
export function leaseHeld(record: TaskRecord): LedgerError {
  return conflict(
    "LEASE_HELD",
    `${nameOf(record)} is held under a worker's lease; only that worker may report it`,
    record,
    Verdict.STOP,
  );
}
