import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";
import type { Status } from "./lifecycle.ts";

const schema = defineEntity({
  name: "TaskExecution",
  tableName: "task_execution",
  properties: {
    organizationId: p.uuid().primary(),
    id: p.uuid().primary(),
    flowExecutionId: p.uuid(),
    flowId: p.uuid(),
    taskName: p.text(),
    taskExecutionIdx: p.integer(),
    status: p.text().$type<Status>(),
    statusBeforeDelete: p.text().$type<Status>().nullable(),
    input: p.text().nullable().lazy(),
    output: p.text().nullable().lazy(),
    error: p.text().nullable().lazy(),
    payloadBytes: p.integer(),
    edited: p.boolean(),
    etag: p.integer(),
    modifiedBy: p.text(),
    createTime: p.datetime(3),
    updateTime: p.datetime(3),
    startTime: p.datetime(3).nullable(),
    endTime: p.datetime(3).nullable(),
    deleteTime: p.datetime(3).nullable(),
    attempt: p.integer(),
    iteration: p.integer().nullable(),
    generation: p.integer(),
    interruptions: p.integer(),
    executor: p.text().nullable(),
    claimRank: p.integer().nullable(),
    availableTime: p.datetime(3).nullable(),
    leaseToken: p.bigint("string").nullable(),
    rerun: p.boolean(),
    outdateOnEnd: p.boolean(),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/**
 * The record of one execution of one task of a run.
 *
 * `input`, `output` and `error` are canonical JSON text, null for none; `payloadBytes` is how many bytes
 * they have together. They are loaded only when asked for.
 *
 * The columns from `attempt` on are for managed runs. A queued record with an `executor` can be claimed
 * from `availableTime` on; `leaseToken` is the token of its claim; `rerun` asks for a new record once the
 * upstreams have completed; with `outdateOnEnd` it becomes stale when it ends.
 */
export class TaskExecution extends schema.class {}
schema.setClass(TaskExecution);
