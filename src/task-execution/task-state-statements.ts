import type { EntityManager } from "@mikro-orm/postgresql";
import { type RawBuilder, sql } from "kysely";
import { kept } from "../db/statement.ts";
import type { LiveStatus } from "./lifecycle.ts";
import { toDate } from "./run-statements.ts";

/** One task of one run. */
export interface TaskOfRun {
  readonly flowExecutionId: string;
  readonly taskName: string;
  /** Whether it has one record for each item of a list. */
  readonly isLoop: boolean;
}

/** What a task of a run has come to. */
export interface TaskState extends TaskOfRun {
  /** The status of the task; undefined if it has no record that is not deleted. */
  readonly status: LiveStatus | undefined;
  /** The idx of the newest record that is not deleted, null if there is none. */
  readonly countingIdx: number | null;
  /** Whether it is to be executed anew. Its last record says so, deleted or not: no delete takes that back. */
  readonly rerun: boolean;
  /** The generation of its last record, deleted or not. */
  readonly generation: number;
  /** The idx of its next record: 0 if it never had one. */
  readonly nextIdx: number;
}

/**
 * Returns what tasks have come to.
 *
 * Of a task the newest record that is not deleted counts. Of a loop the newest record of each item counts, in
 * its last generation: it is running or queued as long as one item is, else what the worst item came to. The
 * open items are found by an index of their own, so that a loop of thousands is not read for each of them.
 *
 * Each part is asked for in the order of the one index that is meant for it. Without an order, a table that has grown
 * since its statistics were made is read by whichever index looks smallest, for each task from end to end.
 */
export async function findTaskStates(
  em: EntityManager,
  organizationId: string,
  tasks: readonly TaskOfRun[],
): Promise<TaskState[]> {
  if (tasks.length === 0) {
    return [];
  }
  // Most tasks are no loops, and what is there for loops takes time even if there is none.
  const [name, status] = tasks.some(({ isLoop }) => isLoop)
    ? [kept("find_loop_states"), loopStatus(organizationId)]
    : [kept("find_task_states"), sql`newest.status`];
  const { rows } = await sql<Omit<TaskState, "status"> & { status: LiveStatus | null }>`${name}
    select k."flowExecutionId", k."taskName", k."isLoop", coalesce(last.rerun, false) as rerun,
      coalesce(last.generation, 0) as generation, coalesce(last.idx + 1, 0) as "nextIdx",
      newest.idx as "countingIdx",
      ${status} as status
    from json_to_recordset(${JSON.stringify(tasks)}::json) as k(
      "flowExecutionId" uuid, "taskName" text, "isLoop" boolean
    )
    left join lateral (
      select t.task_execution_idx as idx, t.status, t.rerun, t.generation
      from task_execution as t
      where t.organization_id = ${organizationId} and t.flow_execution_id = k."flowExecutionId"
        and t.task_name = k."taskName"
      order by t.task_execution_idx desc
      limit 1
    ) as last on true
    left join lateral (
      select last.idx, last.status, last.generation
      where last.status <> 'deleted'
      union all (
        select t.task_execution_idx, t.status, t.generation
        from task_execution as t
        where t.organization_id = ${organizationId} and t.flow_execution_id = k."flowExecutionId"
          and t.task_name = k."taskName" and t.status <> 'deleted' and last.status = 'deleted'
        order by t.task_execution_idx desc
        limit 1
      )
    ) as newest on true
  `.execute(em.getKysely());
  return rows.map((row) => ({ ...row, status: row.status ?? undefined }));
}

/** Returns what says the status of a task `k`, whose newest record is `newest`. */
function loopStatus(organizationId: string): RawBuilder<unknown> {
  const open = (status: "queued" | "running") => sql`(
    select (first.flow_execution_id, first.task_name, first.status)
      = (k."flowExecutionId", k."taskName", ${sql.lit(status)})
    from (
      select t.flow_execution_id, t.task_name, t.status
      from task_execution as t
      where t.organization_id = ${organizationId} and t.status in ('queued', 'running') and t.executor is not null
        and (t.flow_execution_id, t.task_name, t.status) >= (k."flowExecutionId", k."taskName", ${sql.lit(status)})
      order by t.flow_execution_id, t.task_name, t.status
      limit 1
    ) as first
  )`;
  return sql`
      case
        when newest.status is null or not k."isLoop" then newest.status
        when ${open("running")} then 'running'
        when ${open("queued")} then 'queued'
        else (
          select case
            when bool_or(item.status = 'failed') then 'failed'
            when bool_or(item.status = 'cancelled') then 'cancelled'
            when bool_or(item.status = 'stale') then 'stale'
            else 'completed'
          end
          from (
            select distinct on (t.iteration) t.status
            from (
              select r.iteration, r.task_execution_idx, r.status
              from task_execution as r
              where r.organization_id = ${organizationId} and r.flow_execution_id = k."flowExecutionId"
                and r.task_name = k."taskName" and r.generation = newest.generation and r.status <> 'deleted'
              order by r.task_execution_idx desc
              offset 0
            ) as t
            order by t.iteration, t.task_execution_idx desc
          ) as item
        )
      end`;
}

/** Returns when the last task of a run ended. */
export async function findLastEnd(
  em: EntityManager,
  organizationId: string,
  runId: string,
): Promise<Date | null> {
  const { rows } = await sql<{ last: string | null }>`
    select max(end_time) as last
    from task_execution
    where organization_id = ${organizationId} and flow_execution_id = ${runId}::uuid and status <> 'deleted'
  `.execute(em.getKysely());
  return toDate(rows[0]?.last ?? null);
}
