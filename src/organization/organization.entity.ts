import { defineEntity, p } from "@mikro-orm/core";
import { organizationItselfFilter } from "../db/organization.ts";

const schema = defineEntity({
  name: "Organization",
  tableName: "organization",
  properties: {
    id: p.uuid().primary(),
    name: p.text(),
    pageTokenKey: p.blob().lazy(),
    createTime: p.datetime(3),
  },
  filters: { organization: organizationItselfFilter },
  rowLevelSecurity: "force",
});

/** A tenant. `pageTokenKey` is the 32 random bytes that its page tokens are signed with. */
export class Organization extends schema.class {}
schema.setClass(Organization);
