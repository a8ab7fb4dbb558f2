import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrations.ts";
import { defaultDatabaseLimits, openOrm } from "../../src/db/orm.ts";

/** A migrated database outside of any test run, for scripts. */
export interface ScriptDatabase extends EmbeddedPostgres, AsyncDisposable {
  readonly orm: Awaited<ReturnType<typeof openOrm>>;
}

/** Starts a PostgreSQL in a directory of its own, which is removed when it is disposed of. */
export async function startScriptDatabase(): Promise<ScriptDatabase> {
  const dir = await mkdtemp(join(tmpdir(), "taskledger-hazard-"));
  // Root's PostgreSQL runs under another account, which has to pass through.
  await chmod(dir, 0o711);
  const postgres = await startEmbeddedPostgres({ dataDir: join(dir, "data") });
  await migrate(postgres.ownerUrl, decodeURIComponent(new URL(postgres.serviceUrl).username));
  const orm = await openOrm(postgres.serviceUrl, defaultDatabaseLimits, pino({ level: "silent" }));
  return {
    ...postgres,
    orm,
    async [Symbol.asyncDispose]() {
      await orm.close(true);
      await postgres.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
