import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { notFound } from "../errors.ts";
import type { FlowPlans } from "../flow/flow-plan.ts";
import { type Status, statuses } from "../task-execution/lifecycle.ts";
import { FlowExecution } from "./flow-execution.entity.ts";

/** How many task executions there are in each status. */
export type RecordCounts = Record<Status, number>;

/** The counts of one run. */
export interface Summary {
  readonly run: FlowExecution;
  /** By task, in the order of the definition. */
  readonly tasks: readonly { readonly taskName: string; readonly counts: RecordCounts }[];
  readonly total: RecordCounts;
}

/** Counts the task executions of a run by task and status. */
export async function summarize(
  em: EntityManager,
  plans: FlowPlans,
  organizationId: string,
  id: string,
): Promise<Summary> {
  return em.transactional(async (tx) => {
    const run = await tx.findOne(FlowExecution, { id });
    if (run === null) {
      throw notFound("flow execution");
    }
    const { rows } = await sql<{ taskName: string; status: Status; count: number }>`
      select task_name as "taskName", status, count(*)::integer as count
      from task_execution
      where organization_id = ${organizationId} and flow_execution_id = ${id}::uuid
      group by task_name, status
    `.execute(tx.getKysely());
    const plan = await plans.of(tx, organizationId, run);
    const byTask = new Map([...plan.tasks.keys()].map((name) => [name, none()]));
    const total = none();
    for (const { taskName, status, count } of rows) {
      total[status] += count;
      const counts = byTask.get(taskName) ?? none();
      counts[status] += count;
      // Tasks of a flow version that the run had before come last.
      byTask.set(taskName, counts);
    }
    return { run, tasks: [...byTask].map(([taskName, counts]) => ({ taskName, counts })), total };
  });
}

function none(): RecordCounts {
  return Object.fromEntries(statuses.map((status) => [status, 0])) as RecordCounts;
}
