import { randomUUID } from "node:crypto";
import { type DatabaseUrls, query } from "../harness/database.ts";

/**
 * Makes another organization with the same flows and runs, and returns its id. Whoever writes to the tables past the
 * service writes there, so that it need not mind what the service counts.
 */
export async function copyOrganization({ adminUrl }: DatabaseUrls, organizationId: string): Promise<string> {
  const copy = randomUUID();
  await query(
    adminUrl,
    `insert into organization
     select $2::uuid, $2::text, page_token_key, create_time
     from organization
     where id = $1`,
    [organizationId, copy],
  );
  for (const table of ["flow", "flow_version", "flow_execution"]) {
    await query(
      adminUrl,
      `insert into ${table}
       select (jsonb_populate_record(t, jsonb_build_object('organization_id', $2::uuid))).*
       from ${table} as t
       where organization_id = $1`,
      [organizationId, copy],
    );
  }
  return copy;
}
