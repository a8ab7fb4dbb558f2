import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import type { Dispatch } from "../task-execution/run-status.ts";

const schema = defineEntity({
  name: "FlowExecution",
  tableName: "flow_execution",
  properties: {
    organizationId: p.uuid().primary(),
    id: p.uuid().primary(),
    flowId: p.uuid(),
    flowVersion: p.integer(),
    runNumber: p.integer(),
    status: p.text().$type<Status>(),
    dispatch: p.text().$type<Dispatch>(),
    input: p.text().nullable().lazy(),
    labels: p.text(),
    requestId: p.text(),
    revision: p.bigint("bigint"),
    totalTasks: p.integer(),
    queuedTasks: p.integer(),
    runningTasks: p.integer(),
    completedTasks: p.integer(),
    failedTasks: p.integer(),
    cancelledTasks: p.integer(),
    staleTasks: p.integer(),
    toleratedTasks: p.integer(),
    priority: p.integer(),
    etag: p.integer(),
    modifiedBy: p.text(),
    createTime: p.datetime(3),
    updateTime: p.datetime(3),
    startTime: p.datetime(3).nullable(),
    endTime: p.datetime(3).nullable(),
    cancelTime: p.datetime(3).nullable(),
    deleteTime: p.datetime(3).nullable(),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/**
 * One run of one version of a flow.
 *
 * `revision` numbers the changes of the run and its tasks. `queuedTasks` to `staleTasks` count the tasks
 * by the status of their newest record; `totalTasks` is how many tasks the flow version has.
 */
export class FlowExecution extends schema.class {}
schema.setClass(FlowExecution);
