import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";

const schema = defineEntity({
  name: "LateResult",
  tableName: "late_result",
  properties: {
    organizationId: p.uuid().primary(),
    taskExecutionId: p.uuid().primary(),
    status: p.text().$type<"completed" | "failed">(),
    output: p.text().nullable().lazy(),
    adoptedId: p.uuid().nullable(),
    createTime: p.datetime(3),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/** A result that a worker handed in after its lease was lost. `adoptedId` is the record that was made from it. */
export class LateResult extends schema.class {}
schema.setClass(LateResult);
