import { setTimeout as sleep } from "node:timers/promises";
import type { MikroORM } from "@mikro-orm/postgresql";
import type { Logger } from "pino";
import { keepKey } from "./client/bootstrap-key.ts";
import type { Config } from "./config.ts";
import { startEmbeddedPostgres } from "./db/embedded.ts";
import { migrate } from "./db/migrations.ts";
import { createIdMaker } from "./db/new-id.ts";
import { openOrm } from "./db/orm.ts";
import { checkDatabase } from "./db/role-check.ts";
import { bootstrap } from "./organization/bootstrap.ts";

/** What a process holds beside its pool: a connection to hear from other processes by, and one to probe by. */
const besidePool = 2;

/**
 * Connections of the embedded PostgreSQL that no process has: for the preparations, for processes that take the
 * place of others whose connections still end, and for people.
 */
const spareConnections = 30;

/** How long the last connections to the database may take to close when no call is in flight any more. */
const closeTimeoutMs = 2000;

/** PostgreSQL's own default. Fewer save nothing. */
const leastConnections = 100;

/** Returns how many connections the embedded PostgreSQL must allow, so that every process can fill its pool. */
export function connectionsFor({
  workers,
  databaseLimits: { pool },
}: Pick<Config, "workers" | "databaseLimits">): number {
  return Math.max(leastConnections, workers * (pool + besidePool) + spareConnections);
}

/**
 * Starts the database and brings its schema up to date, if it is the embedded one, and checks it.
 *
 * @param opened is given what stops the database
 * @returns how the service connects
 * @throws UnsafeDatabaseError, EmbeddedPostgresError
 */
export async function prepareDatabase(config: Config, opened: AsyncDisposableStack): Promise<string> {
  const url = config.databaseUrl ?? (await startOwnDatabase(config, opened));
  await checkDatabase(url);
  return url;
}

async function startOwnDatabase(config: Config, opened: AsyncDisposableStack): Promise<string> {
  const { dataDir } = config;
  const postgres = await startEmbeddedPostgres({ dataDir, connections: connectionsFor(config) });
  opened.defer(() => postgres.stop());
  await migrate(postgres.ownerUrl, decodeURIComponent(new URL(postgres.serviceUrl).username));
  return postgres.serviceUrl;
}

/**
 * Opens the pool of a process. Connects at the first statement.
 *
 * @param opened is given what closes it
 */
export async function openConnections(
  url: string,
  { databaseLimits }: Config,
  log: Logger,
  opened: AsyncDisposableStack,
): Promise<MikroORM> {
  const orm = await openOrm(url, databaseLimits, log);
  // A connection that the network swallowed is never given back; nobody waits for it here.
  opened.defer(() => Promise.race([orm.close(true), sleep(closeTimeoutMs, undefined, { ref: false })]));
  return orm;
}

/** Sees to it that there is somebody who may call. Returns the secret of the key that was made for it now, if any. */
export async function prepareFirstKey(orm: MikroORM, config: Config): Promise<string | undefined> {
  const { secret } = await bootstrap({
    orm,
    now: () => new Date(),
    newId: createIdMaker(),
    bootstrapKey: config.bootstrapKey,
  });
  if (secret !== undefined && config.databaseUrl === undefined) {
    await keepKey(config.dataDir, secret);
  }
  return secret;
}
