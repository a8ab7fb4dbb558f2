import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { kept } from "../db/statement.ts";

/** How many runs one look at the queue goes through, for each executor and lap. */
const runsPerLook = 32;

const nil = "00000000-0000-0000-0000-000000000000";

/** A run that has something to claim. A lower rank goes first. */
export interface RunWithWork {
  readonly flowExecutionId: string;
  readonly rank: number;
}

/** After which run to look on. Without a rank: among those of the best rank. */
export interface Cursor {
  readonly id: string;
  readonly rank?: number;
}

/** What a look at the queue found. */
export interface Look {
  /** The runs with tasks that can be claimed now: the best rank first, then in turn from the cursor on. */
  readonly runs: readonly RunWithWork[];
  /** Where the next look goes on. Undefined if this one saw all there is. */
  readonly last: Cursor | undefined;
}

/**
 * Looks for runs that have tasks for some executors.
 *
 * It jumps along the index from run to run instead of reading their tasks, so that a run with ten thousand of
 * them costs no more than one with a single one.
 *
 * @param cursor where to begin, so that runs take turns. It also looks at the first of the best rank, so that these
 * do not wait until it has come around
 */
export async function findRunsWithWork(
  em: EntityManager,
  organizationId: string,
  executors: readonly string[],
  cursor: Cursor = { id: nil },
): Promise<Look> {
  const queued = sql`t.organization_id = ${organizationId} and t.status = 'queued' and t.executor is not null`;
  const { rows } = await sql<{
    id: string;
    rank: number;
    lap: number;
    n: number;
    ready: boolean;
  }>`${kept("find_runs_with_work")}
    with recursive
      seed as (
        select w.executor, greatest(best.claim_rank, s.rank) as claim_rank,
          case when best.claim_rank > s.rank then ${nil}::uuid else s.start_id end as start_id, s.lap
        from unnest(${[...executors]}::text[]) as w(executor)
        cross join lateral (
          select t.claim_rank
          from task_execution as t
          where ${queued} and t.executor = w.executor
          order by t.claim_rank
          limit 1
        ) as best
        cross join (
          values (${cursor.rank ?? null}::integer, ${cursor.id}::uuid, 0), (null, ${nil}::uuid, 1)
        ) as s(rank, start_id, lap)
      ),
      run as (
        select executor, claim_rank, start_id as id, lap, 0 as n
        from seed
        union all
        select r.executor, next.claim_rank, next.flow_execution_id, r.lap, r.n + 1
        from run as r
        cross join lateral (
          select t.claim_rank, t.flow_execution_id
          from task_execution as t
          where ${queued} and t.executor = r.executor
            and (t.claim_rank, t.flow_execution_id) > (r.claim_rank, r.id)
          order by t.claim_rank, t.flow_execution_id
          limit 1
        ) as next
        where r.n < ${runsPerLook}
      )
    select r.id, r.claim_rank as rank, r.lap, r.n, first.ready
    from run as r
    cross join lateral (
      select t.available_time <= now() as ready
      from task_execution as t
      where ${queued} and (t.executor, t.claim_rank, t.flow_execution_id) >= (r.executor, r.claim_rank, r.id)
      order by t.executor, t.claim_rank, t.flow_execution_id, t.available_time
      limit 1
    ) as first
    where r.n > 0
    order by r.claim_rank, r.lap, r.id
  `.execute(em.getKysely());
  const runs = new Map<string, RunWithWork>();
  for (const { id, rank, ready } of rows) {
    if (ready && !runs.has(id)) runs.set(id, { flowExecutionId: id, rank });
  }
  // Of several executors the one that got least far, so that no run is passed over.
  const ends = rows.filter(({ n }) => n === runsPerLook);
  const last = ends.find(({ lap }) => lap === 0) ?? ends[0];
  return { runs: [...runs.values()], last: last && { id: last.id, rank: last.rank } };
}

/**
 * Returns the ids of tasks of locked runs that can be claimed: of each run in turn, oldest first.
 *
 * @param maxBytes how large their inputs may be together; the first task is returned in any case
 */
export async function findClaimable(
  em: EntityManager,
  organizationId: string,
  runs: readonly RunWithWork[],
  executors: readonly string[],
  { max, maxBytes }: { readonly max: number; readonly maxBytes: number },
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`${kept("find_claimable")}
    select id
    from (
      select id, sum(payload_bytes) over (order by rank, turn, available_time, id) - payload_bytes as bytes_before,
        row_number() over (order by rank, turn, available_time, id) as place
      from (
        select c.*, r.rank, row_number() over (partition by c.flow_execution_id order by c.available_time, c.id) as turn
        from json_to_recordset(${JSON.stringify(runs)}::json) as r("flowExecutionId" uuid, rank integer)
        cross join unnest(${[...executors]}::text[]) as w(executor)
        cross join lateral (
          select t.id, t.flow_execution_id, t.available_time, t.payload_bytes
          from task_execution as t
          where t.organization_id = ${organizationId} and t.status = 'queued' and t.executor = w.executor
            and t.claim_rank = r.rank and t.flow_execution_id = r."flowExecutionId" and t.available_time <= now()
          order by t.available_time, t.id
          limit ${max}
        ) as c
      ) as candidate
    ) as ordered
    where place <= ${max} and bytes_before < ${maxBytes}
    order by place
  `.execute(em.getKysely());
  return rows.map(({ id }) => id);
}
