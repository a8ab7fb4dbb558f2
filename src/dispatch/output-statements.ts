import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { kept } from "../db/statement.ts";
import type { Json } from "../template/json.ts";

/**
 * Returns the outputs of tasks of a run, by name, as templates see them: that of the newest record, or of a loop
 * the list of its items' outputs, in order. A task that has none, or whose record is not completed, is left out.
 *
 * Whether it was a loop is what its records say, not the definition: the run may have another flow version by now.
 */
export async function findOutputs(
  em: EntityManager,
  organizationId: string,
  runId: string,
  taskNames: readonly string[],
): Promise<Map<string, Json>> {
  if (taskNames.length === 0) {
    return new Map();
  }
  const { rows } = await sql<{
    taskName: string;
    iteration: number | null;
    status: string;
    output: string | null;
  }>`${kept("find_outputs")}
    select k.task_name as "taskName", newest.iteration, newest.status, newest.output
    from unnest(${[...taskNames]}::text[]) as k(task_name)
    cross join lateral (
      select t.generation, t.task_execution_idx, t.iteration
      from task_execution as t
      where t.organization_id = ${organizationId} and t.flow_execution_id = ${runId}::uuid
        and t.task_name = k.task_name and t.status <> 'deleted'
      order by t.task_execution_idx desc
      limit 1
    ) as last
    cross join lateral (
      select distinct on (t.iteration) t.iteration, t.status, t.output
      from task_execution as t
      where t.organization_id = ${organizationId} and t.flow_execution_id = ${runId}::uuid
        and t.task_name = k.task_name and t.status <> 'deleted'
        and (
          last.iteration is not null and t.generation = last.generation
          or t.task_execution_idx = last.task_execution_idx
        )
      order by t.iteration, t.task_execution_idx desc
    ) as newest
  `.execute(em.getKysely());
  const outputs = new Map<string, Json>();
  for (const [taskName, records] of Map.groupBy(rows, (row) => row.taskName)) {
    const [first] = records;
    if (first!.iteration !== null) {
      // Items that failed, and may, have no output: null keeps the others at their places.
      records.sort((a, b) => a.iteration! - b.iteration!);
      outputs.set(
        taskName,
        records.map(({ status, output }) =>
          status === "completed" && output !== null ? JSON.parse(output) : null,
        ),
      );
    } else if (first!.status === "completed" && first!.output !== null) {
      outputs.set(taskName, JSON.parse(first!.output));
    }
  }
  return outputs;
}

/** Returns the input of a run, undefined if it has none. */
export async function findRunInput(
  em: EntityManager,
  organizationId: string,
  runId: string,
): Promise<Json | undefined> {
  const { rows } = await sql<{ input: string | null }>`
    select input
    from flow_execution
    where organization_id = ${organizationId} and id = ${runId}::uuid
  `.execute(em.getKysely());
  const text = rows[0]?.input ?? null;
  return text === null ? undefined : JSON.parse(text);
}
