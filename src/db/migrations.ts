import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Client, escapeIdentifier } from "pg";

const directory = join(import.meta.dirname, "migrations");

/** How long a migration waits for a lock, so that it never stands in the way of the service for longer. */
const lockTimeoutMs = 1000;

/** Returns the names of the migrations there are, in order. */
export async function listMigrations(): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.endsWith(".sql")).sort();
}

/**
 * Brings the schema to the newest version, as its owner, and grants the service's role what it needs.
 *
 * Each migration is one transaction. Two processes may do it at once: the second waits for the first.
 *
 * @param ownerUrl how to connect as the owner of the database
 * @param serviceRole the role that the service logs in as
 * @returns the names of the migrations that were applied now
 */
export async function migrate(ownerUrl: string, serviceRole: string): Promise<string[]> {
  const client = new Client({ connectionString: ownerUrl, application_name: "taskledger-migrate" });
  // A connection that breaks fails the query too, which is where it is reported.
  client.on("error", () => {});
  await client.connect();
  try {
    await client.query(`create table if not exists migration (
      name text constraint migration_pkey primary key,
      apply_time timestamptz(3) not null
    )`);
    const applied: string[] = [];
    for (const name of await listMigrations()) {
      if (await apply(client, name)) {
        applied.push(name);
      }
    }
    await grant(client, serviceRole);
    return applied;
  } finally {
    await client.end();
  }
}

async function apply(client: Client, name: string): Promise<boolean> {
  await client.query("begin");
  try {
    // Conflicts with itself and with nothing that the service does.
    await client.query("lock table migration in share row exclusive mode");
    const { rowCount } = await client.query("select from migration where name = $1", [name]);
    if (rowCount === 0) {
      await client.query(`set local lock_timeout = ${lockTimeoutMs}`);
      await client.query(await readFile(join(directory, name), "utf8"));
      await client.query("insert into migration (name, apply_time) values ($1, now())", [name]);
    }
    await client.query("commit");
    return rowCount === 0;
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

/**
 * What the service's role may write, by table. It may read all of them, and owns and truncates none.
 *
 * No column that says whose a row is, or which, is ever updated; the audit trail and the versions of a
 * flow are only added to; nothing is erased but tags, and leases that have ended.
 */
const grants: Readonly<Record<string, string>> = {
  migration: "",
  organization: "insert",
  api_key: `insert, update (name, secret_prefix, secret_hash, previous_secret_hash, previous_expire_time,
    rotate_request_id, expire_time, revoke_time, last_use_time)`,
  flow: "insert, update (name, description, version, run_count, etag, modified_by, update_time, delete_time)",
  flow_version: "insert",
  flow_execution: `insert, update (flow_version, status, revision, total_tasks, queued_tasks, running_tasks,
    completed_tasks, failed_tasks, tolerated_tasks, cancelled_tasks, stale_tasks, etag, modified_by, update_time,
    start_time, end_time, cancel_time, delete_time)`,
  task_execution: `insert, update (status, status_before_delete, input, output, error, payload_bytes, edited, etag,
    modified_by, update_time, start_time, end_time, delete_time, executor, claim_rank, available_time, lease_token, rerun,
    outdate_on_end)`,
  event: "insert",
  task_tag: "insert, delete",
  task_lease: "insert, delete, update (expire_time, heartbeat_time, progress, cancel_requested)",
  late_result: "insert, update (adopted_id)",
  re_execution: "insert",
  feed: "insert, update (position)",
};

async function grant(client: Client, serviceRole: string): Promise<void> {
  const role = escapeIdentifier(serviceRole);
  const statements = Object.entries(grants).map(
    ([table, rights]) => `grant select${rights && `, ${rights}`} on ${table} to ${role};`,
  );
  await client.query(`
    grant usage on schema public to ${role};
    ${statements.join("\n")}
    grant execute on function find_api_key(bytea) to ${role};
    grant execute on function find_due_leases(interval, uuid, uuid, integer) to ${role};
    grant execute on function refresh_statistics() to ${role};
  `);
}
