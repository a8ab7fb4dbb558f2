import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";

const schema = defineEntity({
  name: "ReExecution",
  tableName: "re_execution",
  properties: {
    organizationId: p.uuid().primary(),
    flowExecutionId: p.uuid().primary(),
    requestId: p.text().primary(),
    request: p.text(),
    taskNames: p.text(),
    createTime: p.datetime(3),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/** One request to run tasks once more: what was asked and which tasks were meant, both as JSON. */
export class ReExecution extends schema.class {}
schema.setClass(ReExecution);
