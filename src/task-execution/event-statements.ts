import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { unread } from "../db/statement.ts";
import type { Author, EventType } from "./changes.ts";
import { shardOf } from "./feed-shard.ts";
import type { Status } from "./lifecycle.ts";
import { withoutNulls } from "./record-statements.ts";

/** An entry of the event log. `revision` is a decimal number. */
export interface EventRow {
  readonly flowExecutionId: string;
  readonly revision: string;
  readonly taskExecutionId: string | null;
  readonly type: EventType;
  readonly fromStatus: Status | null;
  readonly toStatus: Status;
  readonly reason: string;
  /** The record whose change caused this one. */
  readonly causeId: string | null;
  readonly changedFields: string;
  readonly author: Author;
  /** What the status of the run was, in its last event of a transaction that changed it. */
  flowFromStatus: Status | null;
}

/**
 * Appends to the event log, and to the feed of the organization.
 *
 * The places in the feed are taken and the events stored by one statement, the last one of the transaction: the rows
 * that count the places stay locked until the commit, in the order of their shards. So places have no gaps and
 * become visible in their order, and nobody who holds them waits for anything.
 */
export async function insertEvents(
  em: EntityManager,
  organizationId: string,
  events: readonly EventRow[],
  time: Date,
): Promise<void> {
  const occasions = new Occasions();
  const rows = events.map((event) =>
    withoutNulls({
      flowExecutionId: event.flowExecutionId,
      revision: event.revision,
      taskExecutionId: event.taskExecutionId,
      causeId: event.causeId,
      flowFromStatus: event.flowFromStatus,
      shard: shardOf(event.flowExecutionId),
      occasion: occasions.placeOf(event),
    }),
  );
  await sql`${unread("insert_events")}
    with
      incoming as materialized (
        select *, row_number() over (partition by shard order by "flowExecutionId", revision) as turn
        from json_to_recordset(${JSON.stringify(rows)}::json) as e(
          "flowExecutionId" uuid, revision bigint, "taskExecutionId" uuid, "causeId" uuid, "flowFromStatus" text,
          shard smallint, occasion integer
        )
      ),
      occasion as materialized (
        select *
        from json_to_recordset(${JSON.stringify(occasions.rows)}::json) as o(
          place integer, subject text, kind text, "keyName" text, "requestId" text, type text, "fromStatus" text,
          "toStatus" text, reason text, "changedFields" text
        )
      ),
      counted as (
        select shard, count(*) as events
        from incoming
        group by shard
      ),
      taken as (
        insert into feed as f (organization_id, shard, position)
        select ${organizationId}::uuid, shard, events
        from counted
        order by shard
        on conflict on constraint feed_pkey do update set position = f.position + excluded.position
        returning f.shard, f.position
      )
    insert into event (
      organization_id, flow_execution_id, revision, task_execution_id, type, from_status, to_status, actor_subject,
      actor_kind, actor_key_name, reason, request_id, cause_id, changed_fields, create_time, feed_shard, feed_position,
      flow_from_status
    )
    select ${organizationId}::uuid, e."flowExecutionId", e.revision, e."taskExecutionId", o.type, o."fromStatus",
      o."toStatus", o.subject, o.kind, o."keyName", o.reason, o."requestId", e."causeId", o."changedFields",
      ${time.toISOString()}::timestamptz, e.shard, t.position - c.events + e.turn, e."flowFromStatus"
    from incoming as e
    join counted as c on c.shard = e.shard
    join taken as t on t.shard = e.shard
    join occasion as o on o.place = e.occasion
  `.execute(em.getKysely());
}

/** What many events of a transaction have in common: who did what. Each such occasion is sent once. */
class Occasions {
  readonly rows: object[] = [];
  readonly #places = new Map<Author, Map<string, number>>();

  /** Returns the number of an event's occasion. */
  placeOf({ author, type, fromStatus, toStatus, reason, changedFields }: EventRow): number {
    const ofAuthor = this.#places.get(author) ?? new Map<string, number>();
    this.#places.set(author, ofAuthor);
    const what = JSON.stringify([type, fromStatus, toStatus, changedFields, reason]);
    let place = ofAuthor.get(what);
    if (place === undefined) {
      place = this.rows.length;
      ofAuthor.set(what, place);
      const { caller, requestId } = author;
      const { subject, kind, keyName } = caller;
      const who = { subject, kind, keyName, requestId };
      this.rows.push({ place, ...who, type, fromStatus, toStatus, reason, changedFields });
    }
    return place;
  }
}
