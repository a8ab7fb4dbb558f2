import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { EmbeddedPostgresError } from "./error.ts";

/** SQLite's result code that says that another holds the lock. */
const SQLITE_BUSY = 5;

/** Keeps the locks from the garbage collector, which would close them. */
const held = new Set<DatabaseSync>();

/** The hold of one service process on a data directory. */
export interface ServiceLock {
  /** Lets go of it. May be called again. */
  release(): void;
}

/**
 * Takes the data directory for this process, so that two services never share one embedded PostgreSQL:
 * the one that stops first would stop it for both.
 *
 * The lock is SQLite's, on an empty database, because that is the file lock of the operating system, which
 * Node offers nowhere else. The system lets go of it however the process ends, so there is no stale lock
 * to recognize and no recycled process id to be fooled by. `service.pid` is there for the message only.
 *
 * @throws EmbeddedPostgresError naming the process that holds it
 */
export async function lockForService(dataDir: string): Promise<ServiceLock> {
  const pidFile = join(dataDir, "service.pid");
  // Nothing else may open this file: closing it anywhere in the process would drop the lock (POSIX).
  const database = new DatabaseSync(join(dataDir, "service.lock"), { timeout: 0 });
  try {
    // The write, which is never committed, makes sure that SQLite did not settle for reading.
    database.exec("pragma journal_mode = off; begin exclusive; pragma user_version = 1");
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
    const pid = await readFile(pidFile, "utf8").catch(() => "unknown");
    throw new EmbeddedPostgresError(
      `another Taskledger (process ${pid.trim()}) is using ${dataDir}: ` +
        "stop it first, or give this one a TASKLEDGER_DATA_DIR of its own",
      { cause: error },
    );
  }
  await writeFile(pidFile, `${process.pid}\n`);
  held.add(database);
  return {
    release() {
      if (held.delete(database)) database.close();
    },
  };
}
