import { Client } from "pg";
import { listMigrations } from "./migrations.ts";

/** A database that the service refuses to work with. Its message names everything that is unsafe. */
export class UnsafeDatabaseError extends Error {
  override readonly name = "UnsafeDatabaseError";
}

/** Each query returns one text for each thing that is unsafe, as the service's own role sees it. */
const checks: readonly string[] = [
  `select format('role %s is a superuser: it passes by row-level security', rolname)
   from pg_roles where rolname = current_user and rolsuper`,
  `select format('role %s has BYPASSRLS: it passes by row-level security', rolname)
   from pg_roles where rolname = current_user and rolbypassrls`,
  `select format('role %s may act as %s, which owns %s', current_user, pg_get_userbyid(relowner), relname)
   from pg_class
   where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')
     and pg_has_role(current_user, relowner, 'member')`,
  `select format('table %s: row-level security is not enabled and forced', c.relname)
   from pg_class as c
   where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
     and (c.relname = 'organization' or exists (
       select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped
     ))
     and not (c.relrowsecurity and c.relforcerowsecurity)`,
  `select format('table %s: no policy with USING and WITH CHECK', c.relname)
   from pg_class as c
   where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'migration'
     and not exists (
       select from pg_policy as p
       where p.polrelid = c.oid and p.polqual is not null and p.polwithcheck is not null
     )`,
  `select format('table %s: policy %s lets everybody see everything', polrelid::regclass, polname)
   from pg_policy
   where pg_get_expr(polqual, polrelid) = 'true'
     and (0 = any(polroles) or exists (select from unnest(polroles) as r where pg_has_role(current_user, r, 'member')))`,
  `select format('table %s: role %s may update organization_id', c.relname, current_user)
   from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attname = 'organization_id'
   where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
     and has_column_privilege(c.oid, a.attnum, 'update')`,
  `select format('table %s: role %s may truncate it', relname, current_user)
   from pg_class
   where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and has_table_privilege(oid, 'truncate')`,
  `select format('view %s: is not security_invoker', relname)
   from pg_class
   where relnamespace = 'public'::regnamespace and relkind = 'v'
     and not coalesce('security_invoker=true' = any(reloptions), false)`,
  `select format('materialized view %s: holds rows of every organization', relname)
   from pg_class where relnamespace = 'public'::regnamespace and relkind = 'm'`,
  `select format('function %s: is security definer without a search_path of its own', proname)
   from pg_proc
   where pronamespace = 'public'::regnamespace and prosecdef
     and not exists (select from unnest(proconfig) as setting where setting like 'search_path=%')`,
];

/**
 * Refuses a database that does not keep organizations apart, or whose schema is not the one of this version.
 *
 * @throws UnsafeDatabaseError
 */
export async function checkDatabase(url: string): Promise<void> {
  const client = new Client({ connectionString: url, application_name: "taskledger-check" });
  // A connection that breaks fails the query too, which is where it is reported.
  client.on("error", () => {});
  await client.connect();
  try {
    await checkSchema(client);
    const unsafe: string[] = [];
    for (const check of checks) {
      const { rows } = await client.query<{ format: string }>(check);
      unsafe.push(...rows.map(({ format }) => format));
    }
    if (unsafe.length > 0) {
      throw new UnsafeDatabaseError(
        `the database does not keep organizations apart:\n- ${unsafe.join("\n- ")}`,
      );
    }
  } finally {
    await client.end();
  }
}

async function checkSchema(client: Client): Promise<void> {
  const { rows: tables } = await client.query("select to_regclass('public.migration') is not null as there");
  const applied = tables[0]?.there
    ? (await client.query<{ name: string }>("select name from migration")).rows
    : [];
  const missing = (await listMigrations()).filter((name) => !applied.some((row) => row.name === name));
  if (missing.length > 0) {
    throw new UnsafeDatabaseError(`the schema lacks ${missing.join(", ")}: run npm run migrate`);
  }
}
