import { modifiedByOf } from "../auth/modified-by.ts";
import type { PayloadField, TaskRecord } from "./changes.ts";
import type { RunRecord } from "./run-statements.ts";
import type { Workspace } from "./workspace.ts";

/** What a new record has of its own; the rest is as nothing had happened yet. */
type Given = Pick<TaskRecord, "taskName" | "taskExecutionIdx" | "status"> &
  Partial<
    Pick<
      TaskRecord,
      | "startTime"
      | "endTime"
      | "attempt"
      | "iteration"
      | "generation"
      | "interruptions"
      | "executor"
      | "claimRank"
      | PayloadField
    >
  >;

/**
 * Returns a new record of a run. It is not added to the workspace.
 *
 * It has the properties of a loaded record, in their order: code that meets objects of one layout only is faster.
 */
export function newRecord(work: Workspace, run: RunRecord, given: Given): TaskRecord {
  return {
    id: work.newId(),
    organizationId: work.organizationId,
    flowExecutionId: run.id,
    flowId: run.flowId,
    taskName: given.taskName,
    taskExecutionIdx: given.taskExecutionIdx,
    status: given.status,
    statusBeforeDelete: null,
    edited: false,
    etag: 1,
    modifiedBy: modifiedByOf(work.author.caller),
    createTime: work.now,
    updateTime: work.now,
    startTime: given.startTime ?? null,
    endTime: given.endTime ?? null,
    deleteTime: null,
    attempt: given.attempt ?? 1,
    iteration: given.iteration ?? null,
    generation: given.generation ?? 0,
    interruptions: given.interruptions ?? 0,
    executor: given.executor ?? null,
    claimRank: given.claimRank ?? null,
    availableTime: null,
    leaseToken: null,
    outdateOnEnd: false,
    cancelRequested: false,
    input: given.input ?? null,
    output: given.output ?? null,
    error: given.error ?? null,
    tags: [],
  };
}
