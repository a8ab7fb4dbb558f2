import type { EntityManager } from "@mikro-orm/postgresql";
import { type RawBuilder, sql } from "kysely";
import { kept, unread } from "../db/statement.ts";
import type { Status } from "./lifecycle.ts";
import type { Dispatch, TaskCounts } from "./run-status.ts";

// The statements of the write path. Each takes many rows, as one JSON parameter: values never become part
// of the SQL text, where they would end in the database's log when the statement fails.

/** A run while its tasks are changed. Its row stays locked until the transaction ends. */
export interface RunRecord {
  readonly id: string;
  readonly flowId: string;
  flowVersion: number;
  readonly dispatch: Dispatch;
  readonly priority: number;
  status: Status;
  revision: bigint;
  totalTasks: number;
  readonly counts: TaskCounts;
  /** How many of the failed tasks are such whose failure is tolerated. */
  tolerated: number;
  etag: number;
  modifiedBy: string;
  startTime: Date | null;
  endTime: Date | null;
  cancelTime: Date | null;
  deleteTime: Date | null;
}

/** Reports whether a run takes no further task executions. */
export function isClosed({ cancelTime, deleteTime }: RunRecord): boolean {
  return cancelTime !== null || deleteTime !== null;
}

/** Returns the runs of task executions by the ids of the latter. Ids that are not there are left out. */
export async function findRunIds(
  em: EntityManager,
  organizationId: string,
  ids: string[],
): Promise<Map<string, string>> {
  const { rows } = await sql<{ id: string; flowExecutionId: string }>`${kept("find_run_ids")}
    select id, flow_execution_id as "flowExecutionId"
    from task_execution
    where organization_id = ${organizationId} and id = any(${ids}::uuid[])
  `.execute(em.getKysely());
  return new Map(rows.map((row) => [row.id, row.flowExecutionId]));
}

const runColumns = sql`
  id, flow_id, flow_version, dispatch, priority, status, revision::text, total_tasks, queued_tasks, running_tasks,
  completed_tasks, failed_tasks, tolerated_tasks, cancelled_tasks, stale_tasks, etag, modified_by, start_time, end_time,
  cancel_time, delete_time`;

/**
 * Locks runs, in the order of their ids, and returns those that are there.
 *
 * Whoever changes a run or one of its tasks takes this lock first. So writers of one run come one after
 * the other, revisions have no gaps, two creates of one key cannot meet, and nobody waits in a circle.
 */
export async function lockRuns(
  em: EntityManager,
  organizationId: string,
  ids: string[],
): Promise<RunRecord[]> {
  const { rows } = await sql<object>`${kept("lock_runs")}
    select ${runColumns}
    from flow_execution
    where organization_id = ${organizationId} and id = any(${ids}::uuid[])
    order by id
    for no key update
  `.execute(em.getKysely());
  return rows.map(toRun);
}

/** Locks those runs that nobody else has locked, like {@link lockRuns}. Never waits. */
export function lockFreeRuns(em: EntityManager, organizationId: string, ids: string[]): Promise<RunRecord[]> {
  return lockFree(em, organizationId, ids, kept("lock_free_runs"), sql`true`);
}

/** Locks those runs that are not {@link isClosed}, and that nobody else has locked. Never waits. */
export function lockFreeOpenRuns(
  em: EntityManager,
  organizationId: string,
  ids: string[],
): Promise<RunRecord[]> {
  return lockFree(em, organizationId, ids, kept("lock_free_open_runs"), isOpenRun);
}

async function lockFree(
  em: EntityManager,
  organizationId: string,
  ids: string[],
  name: RawBuilder<unknown>,
  condition: RawBuilder<unknown>,
): Promise<RunRecord[]> {
  const { rows } = await sql<object>`${name}
    select ${runColumns}
    from flow_execution
    where organization_id = ${organizationId} and id = any(${ids}::uuid[]) and ${condition}
    order by id
    for no key update skip locked
  `.execute(em.getKysely());
  return rows.map(toRun);
}

/** Returns those of some ids that are runs of the organization. */
export async function findRuns(
  em: EntityManager,
  organizationId: string,
  ids: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id
    from flow_execution
    where organization_id = ${organizationId} and id = any(${[...ids]}::uuid[])
  `.execute(em.getKysely());
  return rows.map(({ id }) => id);
}

/** The condition on runs that are not {@link isClosed}. */
export const isOpenRun = sql`cancel_time is null and delete_time is null`;

// biome-ignore lint/suspicious/noExplicitAny: a row as the driver gives it
function toRun(row: any): RunRecord {
  return {
    id: row.id,
    flowId: row.flow_id,
    flowVersion: row.flow_version,
    dispatch: row.dispatch,
    priority: row.priority,
    status: row.status,
    revision: BigInt(row.revision),
    totalTasks: row.total_tasks,
    counts: {
      queued: row.queued_tasks,
      running: row.running_tasks,
      completed: row.completed_tasks,
      failed: row.failed_tasks,
      cancelled: row.cancelled_tasks,
      stale: row.stale_tasks,
    },
    tolerated: row.tolerated_tasks,
    etag: row.etag,
    modifiedBy: row.modified_by,
    startTime: toDate(row.start_time),
    endTime: toDate(row.end_time),
    cancelTime: toDate(row.cancel_time),
    deleteTime: toDate(row.delete_time),
  };
}

/** Converts a time as the driver gives it. */
export function toDate(value: string | Date | null): Date | null {
  return value === null ? null : new Date(value);
}

/** Stores changed runs. Their ids stand in the condition twice, so that not all runs are read to find them. */
export async function updateRuns(
  em: EntityManager,
  organizationId: string,
  runs: RunRecord[],
  now: Date,
): Promise<void> {
  const parameter = JSON.stringify(
    runs.map((run) => ({ ...run, ...run.counts, revision: String(run.revision) })),
  );
  await sql`${unread("update_runs")}
    update flow_execution as f
    set flow_version = r."flowVersion", status = r.status, revision = r.revision, total_tasks = r."totalTasks",
      queued_tasks = r.queued, running_tasks = r.running, completed_tasks = r.completed, failed_tasks = r.failed,
      tolerated_tasks = r.tolerated, cancelled_tasks = r.cancelled, stale_tasks = r.stale, etag = r.etag,
      modified_by = r."modifiedBy", update_time = ${now.toISOString()}, start_time = r."startTime",
      end_time = r."endTime", cancel_time = r."cancelTime", delete_time = r."deleteTime"
    from json_to_recordset(${parameter}::json) as r(
      id uuid, "flowVersion" integer, status text, revision bigint, "totalTasks" integer, queued integer,
      running integer, completed integer, failed integer, tolerated integer, cancelled integer, stale integer,
      etag integer, "modifiedBy" text, "startTime" timestamptz, "endTime" timestamptz, "cancelTime" timestamptz,
      "deleteTime" timestamptz
    )
    where f.organization_id = ${organizationId} and f.id = r.id and f.id = any(${runs.map(({ id }) => id)}::uuid[])
  `.execute(em.getKysely());
}
