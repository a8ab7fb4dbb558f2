import { sql } from "kysely";
import type { RunRecord } from "../task-execution/run-statements.ts";
import type { Workspace } from "../task-execution/workspace.ts";

/** Takes back that tasks of a run are to be executed anew, because they are now. */
export async function clearRerun(
  work: Workspace,
  run: RunRecord,
  taskNames: readonly string[],
): Promise<void> {
  const { em, organizationId } = work;
  await sql`
    update task_execution
    set rerun = false
    where organization_id = ${organizationId} and flow_execution_id = ${run.id}::uuid
      and task_name = any(${[...taskNames]}::text[]) and rerun
  `.execute(em.getKysely());
  work.forgetStates(run, taskNames);
}

/** Asks for tasks of a run to be executed anew, by a mark on the last record of each. */
export async function markRerun(
  work: Workspace,
  run: RunRecord,
  taskNames: readonly string[],
): Promise<void> {
  const { em, organizationId } = work;
  await sql`
    update task_execution as t
    set rerun = true
    from (
      select last.id
      from unnest(${[...taskNames]}::text[]) as k(task_name)
      cross join lateral (
        select r.id
        from task_execution as r
        where r.organization_id = ${organizationId} and r.flow_execution_id = ${run.id}::uuid
          and r.task_name = k.task_name
        order by r.task_execution_idx desc
        limit 1
      ) as last
    ) as n
    where t.organization_id = ${organizationId} and t.id = n.id
  `.execute(em.getKysely());
  work.forgetStates(run, taskNames);
}
