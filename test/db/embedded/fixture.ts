import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { Client, type QueryResult } from "pg";
import { onTestFinished } from "vitest";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../../src/db/embedded.ts";

/** The directory that holds src/, test/ and node_modules/. */
export const checkoutDir = fileURLToPath(new URL("../../..", import.meta.url));

/** Returns a new directory in the parent that everybody may enter. It is removed after the test. */
export async function newDir(parent = tmpdir()): Promise<string> {
  const dir = await mkdtemp(join(parent, "taskledger-embedded-"));
  await chmod(dir, 0o755);
  onTestFinished(() => rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));
  return dir;
}

/** Starts PostgreSQL on a directory. It is stopped after the test. */
export async function start(dataDir: string): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir, fsync: false });
  onTestFinished(() => postgres.stop());
  return postgres;
}

/** Runs one statement on a connection of its own. */
export async function query(url: string, sql: string, values: unknown[] = []): Promise<QueryResult> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(sql, values);
  } finally {
    await client.end();
  }
}

/** A process that stands for the service: see service.ts. */
export interface ServiceProcess {
  readonly child: ChildProcess;
  /** How to reach its PostgreSQL, once it runs. Rejects with what the process said on standard error. */
  readonly postgres: Promise<Omit<EmbeddedPostgres, "stop">>;
}

/**
 * Starts a service process on a data directory. It is told to stop after the test, unless it ended.
 *
 * @param options.program service.ts, of this checkout or of a copy
 * @param options.node the Node.js to run it with
 */
export function startService(
  dataDir: string,
  {
    program = join(checkoutDir, "test/db/embedded/service.ts"),
    node = process.execPath,
    ...options
  }: ServiceOptions = {},
): ServiceProcess {
  const child = spawn(node, [program, dataDir], { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGTERM");
    await ended;
  });
  const complaints = text(child.stderr);
  const line = once(child.stdout.setEncoding("utf8"), "data").then(([data]) => JSON.parse(String(data)));
  const failure = once(child, "close").then(async () => {
    throw new Error(await complaints);
  });
  const postgres = Promise.race([line, failure]);
  // A test that kills the process does not wait for it.
  for (const promise of [failure, postgres]) promise.catch(() => {});
  return { child, postgres };
}

/** Which program to run as the service, and under which account. */
export interface ServiceOptions extends Pick<SpawnOptions, "uid" | "gid" | "cwd"> {
  readonly program?: string;
  readonly node?: string;
}

/**
 * Sends a service process a signal and returns its exit code, or null if the signal ended it.
 *
 * SIGKILL ends the process and nothing else, as the kernel does when memory runs out.
 */
export async function end({ child }: ServiceProcess, signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
  const ended = once(child, "exit");
  child.kill(signal);
  const [code] = await ended;
  return code;
}
