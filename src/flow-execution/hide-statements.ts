import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import type { FlowPlan } from "../flow/flow-plan.ts";
import { restoreLeases } from "../task-execution/lease-statements.ts";

/** Takes the tasks of a managed run that is deleted from the queue, and from the workers that hold them. */
export async function hideRun(em: EntityManager, organizationId: string, runId: string): Promise<void> {
  await sql`
    update task_execution
    set executor = null, claim_rank = null, available_time = null
    where organization_id = ${organizationId} and flow_execution_id = ${runId}::uuid and status = 'queued'
  `.execute(em.getKysely());
  await sql`
    delete from task_lease
    where organization_id = ${organizationId} and flow_execution_id = ${runId}::uuid
  `.execute(em.getKysely());
}

/**
 * Puts the tasks of a managed run back into the queue that is not deleted any more.
 *
 * Those that were running have lost their workers.
 */
export async function showRun(
  em: EntityManager,
  organizationId: string,
  runId: string,
  plan: FlowPlan,
): Promise<void> {
  const executors = [...plan.tasks.values()].map(({ name, executor }) => ({ name, executor }));
  await sql`
    update task_execution as t
    set executor = k.executor, claim_rank = -f.priority, available_time = date_trunc('milliseconds', now())
    from json_to_recordset(${JSON.stringify(executors)}::json) as k(name text, executor text)
    cross join flow_execution as f
    where t.organization_id = ${organizationId} and t.flow_execution_id = ${runId}::uuid and t.task_name = k.name
      and t.status = 'queued' and f.organization_id = t.organization_id and f.id = t.flow_execution_id
  `.execute(em.getKysely());
  await restoreLeases(em, organizationId, sql`t.flow_execution_id = ${runId}::uuid`);
}
