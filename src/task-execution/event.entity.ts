import { defineEntity, p } from "@mikro-orm/core";
import { organizationFilter } from "../db/organization.ts";
import type { EventType } from "./changes.ts";
import type { Status } from "./lifecycle.ts";

const schema = defineEntity({
  name: "Event",
  tableName: "event",
  properties: {
    organizationId: p.uuid().primary(),
    flowExecutionId: p.uuid().primary(),
    revision: p.bigint("bigint").primary(),
    taskExecutionId: p.uuid().nullable(),
    type: p.text().$type<EventType>(),
    fromStatus: p.text().$type<Status>().nullable(),
    toStatus: p.text().$type<Status>(),
    actorSubject: p.text(),
    actorKind: p.text(),
    actorKeyName: p.text(),
    reason: p.text(),
    requestId: p.text(),
    changedFields: p.text(),
    causeId: p.uuid().nullable(),
    createTime: p.datetime(3),
    feedShard: p.smallint(),
    feedPosition: p.bigint("number"),
    flowFromStatus: p.text().$type<Status>().nullable(),
  },
  filters: { organization: organizationFilter },
  rowLevelSecurity: "force",
});

/**
 * One change of a run, or of one of its tasks if `taskExecutionId` is set: an entry of the audit trail.
 *
 * `changedFields` is the JSON of a list of field names. `feedShard` and `feedPosition` are its place among all events
 * of the organization. `flowFromStatus` is the status that the run had before, if it changed.
 */
export class Event extends schema.class {}
schema.setClass(Event);
