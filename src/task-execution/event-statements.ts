import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { unread } from "../db/statement.ts";
import type { Author, EventType } from "./changes.ts";
import { shardOf } from "./feed-shard.ts";
import type { Status } from "./lifecycle.ts";

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
  const turns = new Map<number, number>();
  const places = events.map((event) => {
    const shard = shardOf(event.flowExecutionId);
    const turn = (turns.get(shard) ?? 0) + 1;
    turns.set(shard, turn);
    return { shard, turn, occasion: occasions.placeOf(event) };
  });
  const ofEvents = (pick: (event: EventRow) => string | null) => arrayOf(events.map(pick));
  await sql`${unread("insert_events")}
    with
      occasion as materialized (
        select *
        from json_to_recordset(${JSON.stringify(occasions.rows)}::json) as o(
          place integer, subject text, kind text, "keyName" text, "requestId" text, type text, "fromStatus" text,
          "toStatus" text, reason text, "changedFields" text
        )
      ),
      taken as (
        insert into feed as f (organization_id, shard, position)
        select ${organizationId}::uuid, c.shard, c.events
        from unnest(${arrayOf([...turns.keys()])}::smallint[], ${arrayOf([...turns.values()])}::bigint[]) as c(shard, events)
        order by c.shard
        on conflict on constraint feed_pkey do update set position = f.position + excluded.position
        returning f.shard, f.position
      )
    insert into event (
      organization_id, flow_execution_id, revision, task_execution_id, type, from_status, to_status, actor_subject,
      actor_kind, actor_key_name, reason, request_id, cause_id, changed_fields, create_time, feed_shard, feed_position,
      flow_from_status
    )
    select ${organizationId}::uuid, e.flow_execution_id, e.revision, e.task_execution_id, o.type, o."fromStatus",
      o."toStatus", o.subject, o.kind, o."keyName", o.reason, o."requestId", e.cause_id, o."changedFields",
      ${time.toISOString()}::timestamptz, e.shard, t.position - e.rest, e.flow_from_status
    from unnest(
      ${ofEvents((event) => event.flowExecutionId)}::uuid[], ${ofEvents((event) => event.revision)}::bigint[],
      ${ofEvents((event) => event.taskExecutionId)}::uuid[], ${ofEvents((event) => event.causeId)}::uuid[],
      ${ofEvents((event) => event.flowFromStatus)}::text[], ${arrayOf(places.map(({ shard }) => shard))}::smallint[],
      ${arrayOf(places.map(({ shard, turn }) => turns.get(shard)! - turn))}::bigint[],
      ${arrayOf(places.map(({ occasion }) => occasion))}::integer[]
    ) as e(
      flow_execution_id, revision, task_execution_id, cause_id, flow_from_status, shard, rest, occasion
    )
    join taken as t on t.shard = e.shard
    join occasion as o on o.place = e.occasion
  `.execute(em.getKysely());
}

/**
 * Returns an array as PostgreSQL reads it, in a third of the time that it takes for JSON.
 *
 * @param values need no quotes: ids, numbers, statuses
 */
function arrayOf(values: readonly (string | number | null)[]): string {
  return `{${values.map((value) => value ?? "NULL").join(",")}}`;
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
