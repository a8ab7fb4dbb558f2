import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";

/** What a worker handed in too late. `output` is canonical JSON text. */
export interface LateResultRow {
  readonly status: "completed" | "failed";
  readonly output: string | null;
  readonly adoptedId: string | null;
}

/** Stores a late result. Returns false, and stores nothing, if the record has one. */
export async function insertLateResult(
  em: EntityManager,
  organizationId: string,
  row: {
    readonly taskExecutionId: string;
    readonly status: LateResultRow["status"];
    readonly output: string | null;
    readonly now: Date;
  },
): Promise<boolean> {
  const { rows } = await sql`
    insert into late_result (organization_id, task_execution_id, status, output, create_time)
    values (
      ${organizationId}, ${row.taskExecutionId}, ${row.status}, ${row.output}, ${row.now.toISOString()}
    )
    on conflict on constraint late_result_pkey do nothing
    returning task_execution_id
  `.execute(em.getKysely());
  return rows.length === 1;
}

/** Returns the late result of a record. */
export async function findLateResult(
  em: EntityManager,
  organizationId: string,
  id: string,
): Promise<LateResultRow | undefined> {
  const { rows } = await sql<LateResultRow>`
    select status, output, adopted_id as "adoptedId"
    from late_result
    where organization_id = ${organizationId} and task_execution_id = ${id}::uuid
  `.execute(em.getKysely());
  return rows[0];
}

/** Says which record was made from a late result. */
export async function markAdopted(
  em: EntityManager,
  organizationId: string,
  id: string,
  adoptedId: string,
): Promise<void> {
  await sql`
    update late_result
    set adopted_id = ${adoptedId}::uuid
    where organization_id = ${organizationId} and task_execution_id = ${id}::uuid
  `.execute(em.getKysely());
}
