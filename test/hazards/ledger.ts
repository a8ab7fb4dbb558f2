import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Client, type QueryResultRow } from "pg";
import { pino } from "pino";
import { chooseAccount } from "../../src/db/embedded/account.ts";
import { locateBinaries } from "../../src/db/embedded/binaries.ts";
import { clusterDirOf } from "../../src/db/embedded/cluster.ts";
import { isPostmaster } from "../../src/db/embedded/postmaster.ts";
import { startServer, stopServer } from "../../src/db/embedded/server.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrations.ts";
import { defaultDatabaseLimits, openOrm } from "../../src/db/orm.ts";
import { removeAfterUs } from "../postgres.ts";

/** A migrated database outside of any test run, for scripts. */
export interface ScriptDatabase extends Omit<EmbeddedPostgres, "stop">, AsyncDisposable {
  readonly orm: Awaited<ReturnType<typeof openOrm>>;
  /** The superuser, in the database of the service. */
  readonly adminUrl: string;
  /** Runs one statement as the superuser in the database of the service. */
  query<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Ends PostgreSQL at once, without a word to anyone, and starts it again on the same port. */
  crash(): Promise<void>;
}

/** Starts a PostgreSQL in a directory of its own, which is removed when it is disposed of. */
export async function startScriptDatabase(): Promise<ScriptDatabase> {
  const dir = await mkdtemp(join(tmpdir(), "taskledger-hazard-"));
  // Root's PostgreSQL runs under another account, which has to pass through.
  await chmod(dir, 0o711);
  const dataDir = join(dir, "data");
  removeAfterUs(dir, dataDir);
  const { stop, ...postgres } = await startEmbeddedPostgres({ dataDir });
  await migrate(postgres.ownerUrl, decodeURIComponent(new URL(postgres.serviceUrl).username));
  const orm = await openOrm(postgres.serviceUrl, defaultDatabaseLimits, pino({ level: "silent" }));
  const clusterDir = clusterDirOf(dataDir);
  const binaries = await locateBinaries();
  const account = await chooseAccount(clusterDir, [dataDir, dirname(binaries.postgres)]);
  const place = {
    clusterDir,
    logFile: join(dataDir, "postgres.log"),
    binaries,
    account,
    fsync: true,
    connections: 100,
  };
  const adminUrl = new URL(postgres.superuserUrl);
  adminUrl.pathname = new URL(postgres.serviceUrl).pathname;
  let { pid } = postgres;
  return {
    ...postgres,
    orm,
    adminUrl: adminUrl.href,
    async query(text, values) {
      const client = new Client({ connectionString: adminUrl.href });
      await client.connect();
      try {
        return (await client.query(text, values)).rows;
      } finally {
        await client.end();
      }
    },
    async crash() {
      process.kill(pid, "SIGQUIT");
      while (await isPostmaster(pid, clusterDir)) await new Promise((resolve) => setTimeout(resolve, 10));
      ({ pid } = await startServer(place, async () => Number(adminUrl.port)));
    },
    async [Symbol.asyncDispose]() {
      await orm.close(true);
      await stopServer(place, pid);
      await stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
