import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";

const schema = defineEntity({
  name: "Flow",
  tableName: "flow",
  properties: {
    organizationId: p.uuid().primary(),
    id: p.uuid().primary(),
    name: p.text(),
    description: p.text(),
    version: p.integer(),
    runCount: p.integer(),
    etag: p.integer(),
    modifiedBy: p.text(),
    createTime: p.datetime(3),
    updateTime: p.datetime(3),
    deleteTime: p.datetime(3).nullable(),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/** A workflow that can be run. `version` is its newest version, `runCount` how often it was run. */
export class Flow extends schema.class {}
schema.setClass(Flow);
