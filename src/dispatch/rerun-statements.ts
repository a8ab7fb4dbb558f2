import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";

/** Takes back that tasks of a run are to be executed anew, because they are now. */
export async function clearRerun(
  em: EntityManager,
  organizationId: string,
  runId: string,
  taskNames: readonly string[],
): Promise<void> {
  await sql`
    update task_execution
    set rerun = false
    where organization_id = ${organizationId} and flow_execution_id = ${runId}::uuid
      and task_name = any(${[...taskNames]}::text[]) and rerun
  `.execute(em.getKysely());
}

/** Asks for tasks of a run to be executed anew, by a mark on the last record of each. */
export async function markRerun(
  em: EntityManager,
  organizationId: string,
  runId: string,
  taskNames: readonly string[],
): Promise<void> {
  await sql`
    update task_execution as t
    set rerun = true
    from (
      select last.id
      from unnest(${[...taskNames]}::text[]) as k(task_name)
      cross join lateral (
        select r.id
        from task_execution as r
        where r.organization_id = ${organizationId} and r.flow_execution_id = ${runId}::uuid
          and r.task_name = k.task_name
        order by r.task_execution_idx desc
        limit 1
      ) as last
    ) as n
    where t.organization_id = ${organizationId} and t.id = n.id
  `.execute(em.getKysely());
}
