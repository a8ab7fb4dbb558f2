import { create } from "@bufbuild/protobuf";
import { type Conflict_Verdict, ConflictSchema } from "../../gen/taskledger/v1/error_details_pb.ts";
import { LedgerError, type Problem } from "../errors.ts";
import type { TaskRecord } from "./changes.ts";
import { toTaskExecutionMessage } from "./task-execution.message.ts";

/** Returns the error for a refused change of a record that the caller may see. */
export function conflict(
  problem: Problem,
  message: string,
  current: TaskRecord,
  verdict: Conflict_Verdict,
  more: { metadata?: Record<string, string>; differingFields?: string[] } = {},
): LedgerError {
  const value = create(ConflictSchema, {
    current: toTaskExecutionMessage({ ...current, input: null, output: null, error: null }),
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
