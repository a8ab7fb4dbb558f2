import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import type { Definition } from "./definition.ts";

// The statements that carry definitions and descriptions. MikroORM would write these into the SQL text, and
// with it into the database's log; here they are bound parameters. They run inside of a transaction.

/** A flow version that is to be stored: its key, what it says, and who made it when. */
export interface NewVersion {
  readonly organizationId: string;
  readonly flowId: string;
  readonly version: number;
  readonly text: string;
  readonly definition: Definition;
  readonly modifiedBy: string;
  readonly now: Date;
}

/** Stores a new flow. Returns false, and stores nothing, if the name is another flow's by now. */
export async function insertFlow(em: EntityManager, row: NewVersion): Promise<boolean> {
  const { name, description } = row.definition;
  const time = row.now.toISOString();
  const { rows } = await sql`
    insert into flow (
      organization_id, id, name, description, version, run_count, etag, modified_by, create_time, update_time
    )
    values (
      ${row.organizationId}, ${row.flowId}, ${name}, ${description}, ${row.version}, 0, 1, ${row.modifiedBy}, ${time},
      ${time}
    )
    on conflict (organization_id, name) where delete_time is null do nothing
    returning id
  `.execute(em.getKysely());
  return rows.length === 1;
}

/** Makes a version the newest of its flow. The row of the flow must be locked. */
export async function updateFlow(em: EntityManager, row: NewVersion): Promise<void> {
  const { name, description } = row.definition;
  await sql`
    update flow
    set name = ${name}, description = ${description}, version = ${row.version}, etag = etag + 1,
      modified_by = ${row.modifiedBy}, update_time = ${row.now.toISOString()}
    where organization_id = ${row.organizationId} and id = ${row.flowId}
  `.execute(em.getKysely());
}

/** Stores a version of a flow. */
export async function insertVersion(em: EntityManager, row: NewVersion): Promise<void> {
  const { name, description, tasks, inputSchema } = row.definition;
  await sql`
    insert into flow_version (
      organization_id, flow_id, version, name, description, definition, tasks, input_schema, modified_by, create_time
    )
    values (
      ${row.organizationId}, ${row.flowId}, ${row.version}, ${name}, ${description}, ${row.text},
      ${JSON.stringify(tasks)}, ${inputSchema === undefined ? null : JSON.stringify(inputSchema)}, ${row.modifiedBy}, ${row.now.toISOString()}
    )
  `.execute(em.getKysely());
}
