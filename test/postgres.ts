import { spawn } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import type { ConnectionUrls } from "../src/db/embedded/provision.ts";
import { startEmbeddedPostgres } from "../src/db/embedded.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** How to connect to the PostgreSQL of this run. Its database is empty: test files make their own. */
    postgres: ConnectionUrls;
  }
}

/** Starts a PostgreSQL for the run, and returns what removes it. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), "taskledger-test-"));
  const dataDir = join(dir, "data");
  removeAfterUs(dir, dataDir);
  // Root's PostgreSQL runs under another account, which has to pass through.
  await chmod(dir, 0o711);
  const { stop, ownerUrl, serviceUrl, superuserUrl } = await startEmbeddedPostgres({ dataDir, fsync: false });
  project.provide("postgres", { ownerUrl, serviceUrl, superuserUrl });
  return async () => {
    await stop();
    await rm(dir, { recursive: true, force: true });
  };
}

/**
 * Has a process of its own remove the server and its directory if this one ends without doing it: because
 * the start failed, or the run was interrupted or killed. It waits for the end of its standard input, which
 * the system closes however we end.
 */
export function removeAfterUs(dir: string, dataDir: string): void {
  const program = fileURLToPath(new URL("postgres-remover.ts", import.meta.url));
  const remover = spawn(process.execPath, [program, dir, dataDir], {
    // A session of its own: Ctrl-C on the terminal is not for it.
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  remover.unref();
  // Without this the pipe would keep vitest from ending.
  (remover.stdin as unknown as { unref(): void }).unref();
}
