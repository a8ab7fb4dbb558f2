import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Client, type QueryResultRow } from "pg";

/** How to connect to the PostgreSQL of a service, as URLs. */
export interface DatabaseUrls {
  /** The role that the service itself uses, which the row-level policies bind. */
  readonly serviceUrl: string;
  /** The superuser, in the database of the service. */
  readonly adminUrl: string;
}

/** Reads how to connect to the PostgreSQL that a service has started in its data directory. */
export async function readDatabaseUrls(dataDir: string): Promise<DatabaseUrls> {
  const cluster = join(dataDir, "cluster");
  const credentials = JSON.parse(await readFile(join(cluster, "credentials.json"), "utf8"));
  const port = (await readFile(join(cluster, "postmaster.pid"), "utf8")).split("\n")[3];
  const url = (user: string, password: string) =>
    `postgres://${user}:${password}@127.0.0.1:${port}/taskledger`;
  return {
    serviceUrl: url("taskledger_service", credentials.service),
    adminUrl: url("postgres", credentials.superuser),
  };
}

/** Runs statements as the superuser, and returns the rows of the last one with parameters. */
export async function query<Row extends QueryResultRow>(
  url: string,
  text: string,
  values?: readonly unknown[],
): Promise<Row[]> {
  await using client = await connect(url);
  return (await client.query<Row>(text, values && [...values])).rows;
}

/** Connects. The connection closes when it is disposed of. */
export async function connect(url: string): Promise<Client & AsyncDisposable> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

/** Makes a database on the server of a service, and returns its URL for the superuser. */
export async function createDatabase({ adminUrl }: DatabaseUrls, name: string): Promise<string> {
  await query(adminUrl, `create database ${name}`);
  const url = new URL(adminUrl);
  url.pathname = name;
  return url.href;
}

/**
 * Vacuums and analyzes all databases of a server, as autovacuum does within a minute: whoever has just stored what a
 * run needs would otherwise be measured with plans for empty tables.
 */
export async function settle({ adminUrl }: DatabaseUrls): Promise<void> {
  const rows = await query<{ datname: string }>(
    adminUrl,
    "select datname from pg_database where datallowconn",
  );
  for (const { datname } of rows) {
    const url = new URL(adminUrl);
    url.pathname = datname;
    await query(url.href, "vacuum (analyze, skip_locked)");
  }
}
