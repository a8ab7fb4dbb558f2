import type { EntityManager } from "@mikro-orm/postgresql";
import { type RawBuilder, sql } from "kysely";
import type { RunView } from "../flow-execution/flow-execution.message.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import { conditions, type RecordFilter } from "../task-execution/read-path.ts";
import {
  type HeadRow,
  type Heads,
  runAsJson,
  taskAsJson,
  toHeads,
  toRunView,
  toWatchedTask,
  type WatchedTask,
} from "./feed-statements.ts";
import type { Places } from "./places.ts";

/** One of those there are. Undefined state if it has changed since the snapshot began. */
export interface Found<State> {
  readonly id: string;
  /** The number of its newest event. */
  readonly revision: bigint;
  readonly state: State | undefined;
}

interface FoundRow {
  readonly id: string;
  /** Null if the event was removed. */
  readonly revision: string | null;
  readonly shard: number | null;
  readonly position: string | null;
  readonly state: object;
}

/** Finds records, newest first, from after an id: at most so many. */
export async function findTasks(
  em: EntityManager,
  organizationId: string,
  filter: RecordFilter,
  page: { readonly places: Places; readonly after: string; readonly most: number },
): Promise<Found<WatchedTask>[]> {
  const { rows } = await em.transactional((tx) =>
    sql<FoundRow>`
      with page as materialized (
        select t.id
        from task_execution as t
        where ${conditions(organizationId, filter, page.after || undefined)}
        order by t.id desc
        limit ${page.most}
      )
      select p.id, e.revision::text, e.feed_shard as shard, e.feed_position::text as position,
        ${taskAsJson(organizationId, sql`p.id`)} as state
      from page as p
      left join lateral (
        select e.revision, e.feed_shard, e.feed_position
        from event as e
        where e.organization_id = ${organizationId} and e.task_execution_id = p.id
        order by e.revision desc
        limit 1
      ) as e on true
      order by p.id desc
    `.execute(tx.getKysely()),
  );
  return rows.map((row) => toFound(row, page.places, toWatchedTask));
}

/** Which runs are watched. */
export interface WatchedRuns {
  readonly id: string | undefined;
  readonly flowId: string | undefined;
  /** Every status but deleted if there are none. */
  readonly statuses: readonly Status[];
}

/** Finds runs, newest first, from after an id: at most so many. */
export async function findRuns(
  em: EntityManager,
  organizationId: string,
  { id, flowId, statuses }: WatchedRuns,
  page: { readonly places: Places; readonly after: string; readonly most: number },
): Promise<Found<RunView>[]> {
  const parts: RawBuilder<unknown>[] = [
    sql`r.organization_id = ${organizationId}`,
    sql`r.delete_time is null`,
  ];
  if (page.after) parts.push(sql`r.id < ${page.after}::uuid`);
  if (id) parts.push(sql`r.id = ${id}::uuid`);
  if (flowId) parts.push(sql`r.flow_id = ${flowId}::uuid`);
  if (statuses.length > 0) parts.push(sql`r.status = any(${[...statuses]})`);
  const { rows } = await em.transactional((tx) =>
    sql<FoundRow>`
      select r.id, r.revision::text, e.feed_shard as shard, e.feed_position::text as position, ${runAsJson} as state
      from flow_execution as r
      left join event as e
        on e.organization_id = r.organization_id and e.flow_execution_id = r.id and e.revision = r.revision
      where ${sql.join(parts, sql` and `)}
      order by r.id desc
      limit ${page.most}
    `.execute(tx.getKysely()),
  );
  return rows.map((row) => toFound(row, page.places, toRunView));
}

/** How things are for a watch at one moment. */
export interface Start {
  readonly heads: Heads;
  /** The watched run, undefined if the organization has none with this id. */
  readonly run: RunView | undefined;
  readonly hasFlow: boolean;
}

/** Returns how far the feed is, and what is watched. */
export async function readStart(
  em: EntityManager,
  organizationId: string,
  { runId, flowId }: { readonly runId: string | undefined; readonly flowId: string | undefined },
): Promise<Start> {
  const { rows } = await em.transactional((tx) =>
    sql<{ heads: HeadRow[] | null; run: object | null; has_flow: boolean }>`
      select (
          select json_agg(json_build_object('shard', f.shard, 'position', f.position, 'pruned', f.pruned_position))
          from feed as f
          where f.organization_id = ${organizationId}
        ) as heads, (
          select ${runAsJson}
          from flow_execution as r
          where r.organization_id = ${organizationId} and r.id = ${runId ?? null}::uuid
        ) as run, exists (
          select
          from flow as w
          where w.organization_id = ${organizationId} and w.id = ${flowId ?? null}::uuid
        ) as has_flow
    `.execute(tx.getKysely()),
  );
  const { heads, run, has_flow: hasFlow } = rows[0]!;
  const known = typeof heads === "string" ? JSON.parse(heads) : heads;
  return { heads: toHeads(known ?? []), run: run === null ? undefined : toRunView(run), hasFlow };
}

function toFound<State>(row: FoundRow, places: Places, toState: (json: object) => State): Found<State> {
  const { id, revision, shard, position, state } = row;
  const isNewer = shard !== null && Number(position) > places[shard]!;
  return { id, revision: BigInt(revision ?? 0), state: isNewer ? undefined : toState(state) };
}
