import type { EntityManager } from "@mikro-orm/postgresql";
import { type RawBuilder, sql } from "kysely";
import type { RunView } from "../flow-execution/flow-execution.message.ts";
import type { EventType, TaskRecord } from "../task-execution/changes.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import { recordColumns, toRecord } from "../task-execution/record-statements.ts";
import { toDate } from "../task-execution/run-statements.ts";
import { nowhere, type Places } from "./places.ts";

// Events are read together with what they are about, by one statement and so at one moment: a state that is read
// here is the one that the newest event of its record made, neither older nor newer.

/** How far the feed of an organization is, and how much of it may have been removed. */
export interface Heads {
  readonly places: Places;
  readonly pruned: Places;
}

/** A record without payloads, and how large these are. */
export interface WatchedTask extends TaskRecord {
  readonly payloadBytes: number;
}

/** Something that an event changed, as it is since its newest event. */
export interface Changed<State> {
  readonly state: State;
  /** Whether it has changed again since, so that a later entry tells of it. */
  readonly isSuperseded: boolean;
  /** The statuses it had before this event, and before those just before it that have no entry of their own. */
  readonly before: readonly Status[];
}

/** An event, if it is the last one read of its record or of its run. */
export interface FeedEntry {
  /** The place of the event in the feed. */
  readonly shard: number;
  readonly position: number;
  readonly revision: bigint;
  readonly type: EventType;
  readonly flowExecutionId: string;
  readonly flowId: string;
  /** Whether the run is deleted, and so hides its tasks. */
  readonly isHidden: boolean;
  /** Whether the event undeleted the run. */
  readonly undeleted: boolean;
  task: Changed<WatchedTask> | undefined;
  run: Changed<RunView> | undefined;
}

/** What was read of a feed: entries in the order of their places, and how far they go. */
export interface FeedPage {
  readonly entries: readonly FeedEntry[];
  readonly places: Places;
  readonly heads: Heads;
}

/** Returns how far the feed is. */
export async function readHeads(em: EntityManager, organizationId: string): Promise<Heads> {
  return em.transactional(async (tx) => {
    const { rows } = await sql<HeadRow>`
      select shard, position::text, pruned_position::text as pruned
      from feed
      where organization_id = ${organizationId}
    `.execute(tx.getKysely());
    return toHeads(rows);
  });
}

/**
 * Reads the feed on from some places: at most so many events of each shard.
 *
 * @param run the only run whose events are of interest
 */
export async function readFeed(
  em: EntityManager,
  organizationId: string,
  from: Places,
  most: number,
  run?: { readonly id: string; readonly shard: number },
): Promise<FeedPage> {
  const next = sql`least(f.position, c.position + ${most})`;
  const until =
    run === undefined ? next : sql`case when f.shard = ${run.shard} then ${next} else f.position end`;
  const cursor = JSON.stringify(from.map((position, shard) => ({ shard, position })));
  const { rows } = await em.transactional((tx) =>
    sql<FeedRow>`
      with
        head as materialized (
          select f.shard, f.position, f.pruned_position, c.position as start,
            ${until} as until
          from feed as f
          join json_to_recordset(${cursor}::json) as c(shard smallint, position bigint) on c.shard = f.shard
          where f.organization_id = ${organizationId}
        ),
        fresh as materialized (
          select e.feed_shard, e.feed_position, e.flow_execution_id, e.task_execution_id, e.revision, e.type,
            e.from_status, e.flow_from_status,
            e.revision = max(e.revision) over (partition by e.flow_execution_id) as is_last_of_run,
            e.task_execution_id is not null
              and e.revision = max(e.revision) over (partition by e.flow_execution_id, e.task_execution_id) as is_last_of_task
          from head as h
          join event as e
            on e.organization_id = ${organizationId} and e.feed_shard = h.shard and e.feed_position > h.start
            and e.feed_position <= h.until
          ${run === undefined ? sql`` : sql`where e.feed_shard = ${run.shard} and e.flow_execution_id = ${run.id}::uuid`}
        )
      select h.shard, h.position::text, h.pruned_position::text as pruned, h.until::text,
        e.feed_position::text as event, e.flow_execution_id, e.task_execution_id, e.revision::text, e.type,
        e.from_status, e.flow_from_status, r.flow_id, r.delete_time is not null as is_hidden,
        case when e.is_last_of_run then ${runAsJson} end as run,
        case when e.is_last_of_task then ${taskAsJson(organizationId, sql`e.task_execution_id`)} end as task,
        e.is_last_of_task and exists (
          select
          from event as later
          where later.organization_id = ${organizationId} and later.task_execution_id = e.task_execution_id
            and later.revision > e.revision
        ) as is_superseded
      from head as h
      left join fresh as e on e.feed_shard = h.shard
      left join flow_execution as r on r.organization_id = ${organizationId} and r.id = e.flow_execution_id
      order by h.shard, e.feed_position
    `.execute(tx.getKysely()),
  );
  const places = [...from];
  for (const { shard, until } of rows) places[shard] = Math.max(places[shard]!, Number(until));
  return { entries: toEntries(rows), places, heads: toHeads(rows) };
}

/** The columns of a run `r` as JSON; the input is not among them. */
export const runAsJson = sql`(
  select row_to_json(x)
  from (
    select r.id, r.organization_id, r.flow_id, r.flow_version, r.run_number, r.status, r.dispatch, r.labels,
      r.revision::text, r.total_tasks, r.queued_tasks, r.running_tasks, r.completed_tasks, r.failed_tasks,
      r.cancelled_tasks, r.stale_tasks, r.priority, r.etag, r.modified_by, r.create_time, r.update_time, r.start_time,
      r.end_time, r.delete_time
  ) as x
)`;

/** The record with an id as JSON; its payloads are not among it. */
export function taskAsJson(organizationId: string, id: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
    select row_to_json(x)
    from (
      select ${recordColumns(sql`null as input, null as output, null as error, t.payload_bytes`)}
      from task_execution as t
      where t.organization_id = ${organizationId} and t.id = ${id}
    ) as x
  )`;
}

/** A row of the feed as it comes. */
export interface HeadRow {
  readonly shard: number;
  readonly position: string | number;
  readonly pruned: string | number;
}

interface FeedRow extends HeadRow {
  readonly until: string;
  /** Null in the row of a shard without events. */
  readonly event: string | null;
  readonly flow_execution_id: string;
  readonly task_execution_id: string | null;
  readonly revision: string;
  readonly type: EventType;
  readonly from_status: Status | null;
  readonly flow_from_status: Status | null;
  readonly flow_id: string;
  readonly is_hidden: boolean;
  readonly run: Json | null;
  readonly task: Json | null;
  readonly is_superseded: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: columns as the database gives them
type Json = any;

/** Converts the rows of a feed. */
export function toHeads(rows: readonly HeadRow[]): Heads {
  const places = [...nowhere];
  const pruned = [...nowhere];
  for (const row of rows) {
    places[row.shard] = Number(row.position);
    pruned[row.shard] = Number(row.pruned);
  }
  return { places, pruned };
}

function toEntries(rows: readonly FeedRow[]): FeedEntry[] {
  const before = new Map<string, Status[]>();
  const note = (id: string, status: Status | null) => {
    const known = before.get(id) ?? [];
    if (status !== null) known.push(status);
    before.set(id, known);
    return known;
  };
  return rows.flatMap((row): FeedEntry[] => {
    if (row.event === null) {
      return [];
    }
    const ofRun = note(row.flow_execution_id, row.flow_from_status);
    const ofTask = row.task_execution_id === null ? [] : note(row.task_execution_id, row.from_status);
    const run = row.run === null ? undefined : toRunView(row.run);
    const revision = BigInt(row.revision);
    const entry: FeedEntry = {
      shard: row.shard,
      position: Number(row.event),
      revision,
      type: row.type,
      flowExecutionId: row.flow_execution_id,
      flowId: row.flow_id,
      isHidden: row.is_hidden,
      undeleted: row.type === "undelete" && row.task_execution_id === null,
      task:
        row.task === null
          ? undefined
          : { state: toWatchedTask(row.task), isSuperseded: row.is_superseded, before: ofTask },
      run: run && { state: run, isSuperseded: run.revision > revision, before: ofRun },
    };
    return entry.task || entry.run || entry.undeleted ? [entry] : [];
  });
}

/** Converts a record as it comes in JSON. */
export function toWatchedTask(json: Json): WatchedTask {
  const row = typeof json === "string" ? JSON.parse(json) : json;
  return { ...toRecord(row), payloadBytes: row.payload_bytes };
}

/** Converts a run as it comes in JSON. */
export function toRunView(json: Json): RunView {
  const row = typeof json === "string" ? JSON.parse(json) : json;
  return {
    id: row.id,
    organizationId: row.organization_id,
    flowId: row.flow_id,
    flowVersion: row.flow_version,
    runNumber: row.run_number,
    status: row.status,
    dispatch: row.dispatch,
    labels: row.labels,
    revision: BigInt(row.revision),
    totalTasks: row.total_tasks,
    queuedTasks: row.queued_tasks,
    runningTasks: row.running_tasks,
    completedTasks: row.completed_tasks,
    failedTasks: row.failed_tasks,
    cancelledTasks: row.cancelled_tasks,
    staleTasks: row.stale_tasks,
    priority: row.priority,
    etag: row.etag,
    modifiedBy: row.modified_by,
    createTime: new Date(row.create_time),
    updateTime: new Date(row.update_time),
    startTime: toDate(row.start_time),
    endTime: toDate(row.end_time),
    deleteTime: toDate(row.delete_time),
  };
}
