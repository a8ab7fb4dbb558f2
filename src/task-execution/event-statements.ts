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
  const authors = new Map<Author, number>();
  const rows = events.map(({ author, ...event }) => {
    const place = authors.get(author) ?? authors.size;
    authors.set(author, place);
    return withoutNulls({ ...event, actor: place, shard: shardOf(event.flowExecutionId) });
  });
  const actors = [...authors].map(([{ caller, requestId }, place]) => {
    const { subject, kind, keyName } = caller;
    return { place, subject, kind, keyName, requestId };
  });
  await sql`${unread("insert_events")}
    with
      incoming as materialized (
        select *, row_number() over (partition by shard order by "flowExecutionId", revision) as turn
        from json_to_recordset(${JSON.stringify(rows)}::json) as e(
          "flowExecutionId" uuid, revision bigint, "taskExecutionId" uuid, type text, "fromStatus" text,
          "toStatus" text, reason text, "causeId" uuid, "changedFields" text, "flowFromStatus" text,
          actor integer, shard smallint
        )
      ),
      actor as materialized (
        select *
        from json_to_recordset(${JSON.stringify(actors)}::json) as a(
          place integer, subject text, kind text, "keyName" text, "requestId" text
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
    select ${organizationId}::uuid, e."flowExecutionId", e.revision, e."taskExecutionId", e.type, e."fromStatus",
      e."toStatus", a.subject, a.kind, a."keyName", e.reason, a."requestId", e."causeId",
      e."changedFields", ${time.toISOString()}::timestamptz, e.shard, t.position - c.events + e.turn,
      e."flowFromStatus"
    from incoming as e
    join counted as c on c.shard = e.shard
    join taken as t on t.shard = e.shard
    join actor as a on a.place = e.actor
  `.execute(em.getKysely());
}
