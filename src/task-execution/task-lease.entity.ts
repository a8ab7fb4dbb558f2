import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";

const schema = defineEntity({
  name: "TaskLease",
  tableName: "task_lease",
  properties: {
    organizationId: p.uuid().primary(),
    taskExecutionId: p.uuid().primary(),
    flowExecutionId: p.uuid(),
    token: p.bigint("bigint"),
    workerId: p.text(),
    requestId: p.text(),
    lengthMs: p.integer(),
    expireTime: p.datetime(3),
    timeoutTime: p.datetime(3).nullable(),
    heartbeatTime: p.datetime(3),
    progress: p.text().nullable(),
    cancelRequested: p.boolean(),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/** A worker's hold on a running task. `progress` is the JSON of what the worker said last; times are the database's. */
export class TaskLease extends schema.class {}
schema.setClass(TaskLease);
