import { modifiedByOf } from "../auth/modified-by.ts";
import type { TaskRecord } from "./changes.ts";
import type { RunRecord } from "./run-statements.ts";
import type { Workspace } from "./workspace.ts";

/** What a new record has of its own; the rest is as nothing had happened yet. */
type Given = Pick<TaskRecord, "taskName" | "taskExecutionIdx" | "status"> & Partial<TaskRecord>;

/** Returns a new record of a run. It is not added to the workspace. */
export function newRecord(work: Workspace, run: RunRecord, given: Given): TaskRecord {
  return {
    id: work.newId(),
    organizationId: work.organizationId,
    flowExecutionId: run.id,
    flowId: run.flowId,
    statusBeforeDelete: null,
    edited: false,
    etag: 1,
    modifiedBy: modifiedByOf(work.author.caller),
    createTime: work.now,
    updateTime: work.now,
    startTime: null,
    endTime: null,
    deleteTime: null,
    input: null,
    output: null,
    error: null,
    tags: [],
    attempt: 1,
    iteration: null,
    generation: 0,
    interruptions: 0,
    executor: null,
    claimRank: null,
    availableTime: null,
    leaseToken: null,
    outdateOnEnd: false,
    ...given,
  };
}
