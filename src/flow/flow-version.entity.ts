import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";
import { completeTask, type TaskDefinition } from "./task-definition.ts";

const schema = defineEntity({
  name: "FlowVersion",
  tableName: "flow_version",
  properties: {
    organizationId: p.uuid().primary(),
    flowId: p.uuid().primary(),
    version: p.integer().primary(),
    name: p.text(),
    description: p.text(),
    definition: p.text().lazy(),
    tasks: p.text().lazy(),
    inputSchema: p.text().nullable().lazy(),
    modifiedBy: p.text(),
    createTime: p.datetime(3),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/** One version of a flow, never changed. `tasks` is the JSON of its {@link TaskDefinition}s, in order. */
export class FlowVersion extends schema.class {}
schema.setClass(FlowVersion);

/** Returns the tasks of a flow version that was loaded with `tasks`. */
export function tasksOf(version: FlowVersion): TaskDefinition[] {
  return (JSON.parse(version.tasks) as Parameters<typeof completeTask>[0][]).map(completeTask);
}
