import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import type { Json } from "../template/json.ts";

/** A task whose output is asked for. */
interface TaskName {
  readonly taskName: string;
  readonly isLoop: boolean;
}

/**
 * Returns the outputs of tasks of a run, by name, as templates see them: that of the newest record, or of a loop
 * the list of its items' outputs, in order. A task that has none, or whose record is not completed, is left out.
 */
export async function findOutputs(
  em: EntityManager,
  organizationId: string,
  runId: string,
  tasks: readonly TaskName[],
): Promise<Map<string, Json>> {
  if (tasks.length === 0) {
    return new Map();
  }
  const { rows } = await sql<{
    taskName: string;
    iteration: number | null;
    status: string;
    output: string | null;
  }>`
    select k."taskName", newest.iteration, newest.status, newest.output
    from json_to_recordset(${JSON.stringify(tasks)}::json) as k("taskName" text, "isLoop" boolean)
    cross join lateral (
      select t.generation, t.task_execution_idx
      from task_execution as t
      where t.organization_id = ${organizationId} and t.flow_execution_id = ${runId}::uuid
        and t.task_name = k."taskName" and t.status <> 'deleted'
      order by t.task_execution_idx desc
      limit 1
    ) as last
    cross join lateral (
      select distinct on (t.iteration) t.iteration, t.status, t.output
      from task_execution as t
      where t.organization_id = ${organizationId} and t.flow_execution_id = ${runId}::uuid
        and t.task_name = k."taskName" and t.status <> 'deleted'
        and (k."isLoop" and t.generation = last.generation or t.task_execution_idx = last.task_execution_idx)
      order by t.iteration, t.task_execution_idx desc
    ) as newest
  `.execute(em.getKysely());
  const outputs = new Map<string, Json>();
  for (const { taskName, isLoop } of tasks) {
    const records = rows.filter((row) => row.taskName === taskName);
    if (isLoop && records.length > 0) {
      // Items that failed, and may, have no output: null keeps the others at their places.
      const items = records.filter(({ iteration }) => iteration !== null);
      items.sort((a, b) => a.iteration! - b.iteration!);
      outputs.set(
        taskName,
        items.map(({ status, output }) =>
          status === "completed" && output !== null ? JSON.parse(output) : null,
        ),
      );
    } else if (records[0]?.status === "completed" && records[0].output !== null) {
      outputs.set(taskName, JSON.parse(records[0].output));
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
