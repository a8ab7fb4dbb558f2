import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";

const schema = defineEntity({
  name: "TaskTag",
  tableName: "task_tag",
  properties: {
    organizationId: p.uuid().primary(),
    taskExecutionId: p.uuid().primary(),
    tag: p.text().primary(),
    metadata: p.text(),
    createTime: p.datetime(3),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/** A tag on a task execution. `metadata` is JSON text of strings by name. */
export class TaskTag extends schema.class {}
schema.setClass(TaskTag);
