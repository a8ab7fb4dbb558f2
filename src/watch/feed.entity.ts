import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";

const schema = defineEntity({
  name: "Feed",
  tableName: "feed",
  properties: {
    organizationId: p.uuid().primary(),
    shard: p.smallint().primary(),
    position: p.bigint("number"),
    prunedPosition: p.bigint("number"),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/**
 * How far a shard of an organization's events is.
 *
 * `position` is the place of the newest event, counted without gaps in commit order; events up to `prunedPosition`
 * may have been removed.
 */
export class Feed extends schema.class {}
schema.setClass(Feed);
