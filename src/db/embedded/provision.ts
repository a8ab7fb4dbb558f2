import { Client } from "pg";
import type { Credentials } from "./cluster.ts";

/** The name of the database, and of what it is owned and used by. */
const database = "taskledger";
const ownerRole = "taskledger_owner";
const serviceRole = "taskledger_service";
/** Stands at the database as its comment once everything is in place. */
const provisioned = "Taskledger, provisioned";

/** How to connect, as `postgres://` URLs with passwords. */
export interface ConnectionUrls {
  /** Owns the database and its schemas, and runs the migrations. No superuser. */
  readonly ownerUrl: string;
  /** May log in, and owns nothing: whatever it may do, the owner grants. */
  readonly serviceUrl: string;
  /** The superuser, in the database `postgres`. For tests and operators, never for the service. */
  readonly superuserUrl: string;
}

/** Returns how to connect to the server at a port of 127.0.0.1. */
export function connectionUrls({ superuser, owner, service }: Credentials, port: number): ConnectionUrls {
  const url = (role: string, password: string, name: string) =>
    `postgres://${role}:${password}@127.0.0.1:${port}/${name}`;
  return {
    ownerUrl: url(ownerRole, owner, database),
    serviceUrl: url(serviceRole, service, database),
    superuserUrl: url("postgres", superuser, "postgres"),
  };
}

/**
 * Makes the roles and the database, unless that is done.
 *
 * Every step may be repeated and the mark comes last, so a process that is killed in between is no matter.
 */
export async function provision(urls: ConnectionUrls, { owner, service }: Credentials): Promise<void> {
  await withClient(urls.superuserUrl, async (client) => {
    const found = await client.query(
      "select shobj_description(oid, 'pg_database') as comment from pg_database where datname = $1",
      [database],
    );
    if (found.rows[0]?.comment === provisioned) return;
    // Before the database is made, which is a copy of template1, as are the databases of tests.
    const template = Object.assign(new URL(urls.superuserUrl), { pathname: "/template1" });
    await withClient(template.href, (other) => other.query(hideStatistics));
    await client.query(createRole(ownerRole, owner));
    await client.query(createRole(serviceRole, service));
    if (found.rows.length === 0) await client.query(`create database ${database} owner ${ownerRole}`);
    await client.query(`
      revoke all on database postgres, template1, ${database} from public;
      grant connect on database ${database} to ${serviceRole};
    `);
    await client.query(`comment on database ${database} is '${provisioned}'`);
  });
}

/**
 * Creates a role that may log in and nothing else.
 *
 * Its errors stay out of the server's log, where an error such as 'invalid input syntax: "…"' would show
 * what a task was given. Their cause is logged by the service, which gets them anyway.
 */
function createRole(name: string, password: string): string {
  return `
    do $$
    begin
      if not exists (select from pg_roles where rolname = '${name}') then
        create role ${name};
      end if;
    end
    $$;
    alter role ${name} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password '${password}';
    alter role ${name} set log_min_messages = 'log';
  `;
}

/**
 * Takes the statistics of a database from everybody but the superuser: they show the SQL text of other
 * sessions, samples of column values, and how much of each table there is. And nobody but the owner of
 * the database creates anything in its schema.
 */
const hideStatistics = `
  do $$
  declare
    item text;
  begin
    for item in
      select oid::regclass
      from pg_class
      where relnamespace = 'pg_catalog'::regnamespace
        and relkind = 'v'
        and relname like 'pg\\_stat%'
    loop
      execute format('revoke all on %s from public', item);
    end loop;
    for item in
      select oid::regprocedure
      from pg_proc
      where pronamespace = 'pg_catalog'::regnamespace
        and proname like 'pg\\_stat\\_get\\_%'
    loop
      execute format('revoke all on function %s from public', item);
    end loop;
  end
  $$;
  revoke create on schema public from public;
`;

async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  // A connection that breaks fails the query too, which is where it is reported.
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
