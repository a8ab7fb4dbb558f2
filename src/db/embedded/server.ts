import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Account, asAccount, giveTo, run } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { EmbeddedPostgresError } from "./error.ts";
import { freePort } from "./free-port.ts";
import { isAlive, isPostmaster, type Postmaster, readConnections, readPostmaster } from "./postmaster.ts";
import { settingArguments } from "./settings.ts";

/** How long a start may take, in ms. Replaying the log after a crash can take minutes on a slow disk. */
const startTimeoutMs = 300_000;
/** How long to repeat a start that fails for what passes by itself, in ms: see {@link passing}. */
const retryMs = 10_000;
/** How long a stop that writes everything out may take, in ms, before one that leaves it to the next start. */
const fastStopTimeoutMs = 30_000;
/** How long a stop that writes nothing out may take, in ms. */
const immediateStopTimeoutMs = 5_000;
/** How often files and processes are looked at, in ms. A start takes about 50 ms. */
const pollMs = 10;
/** From what size on the log is moved to `postgres.log.1` at a start, in bytes. */
const logLimit = 16 * 1024 * 1024;

/** Where a server runs and by what means. */
export interface ServerPlace {
  readonly clusterDir: string;
  readonly logFile: string;
  readonly binaries: Binaries;
  readonly account: Account | undefined;
  readonly fsync: boolean;
  /** How many connections it has to allow. */
  readonly connections: number;
}

/** Failures of a start that pass: the port was taken meanwhile; processes of a killed server still end. */
const passing = /Address already in use|could not bind|pre-existing shared memory block/;

/**
 * Returns the server that runs on the cluster already, or undefined. One does if the service was killed.
 *
 * Waits until it accepts connections, should it just be starting. One that allows too few of them is stopped.
 */
export async function findServer(place: ServerPlace): Promise<Postmaster | undefined> {
  const { clusterDir, logFile, connections } = place;
  const found = await readPostmaster(clusterDir);
  if (found === undefined) return undefined;
  if (await isPostmaster(found.pid, clusterDir)) {
    const isRunning = () => isPostmaster(found.pid, clusterDir);
    const server = await waitUntilReady(clusterDir, logFile, found.pid, isRunning);
    if ((await readConnections(clusterDir)) >= connections) return server;
    await stopServer(place, found.pid);
    return undefined;
  }
  // PostgreSQL notices by itself that a process is gone, but would take a stranger for a server.
  if (isAlive(found.pid)) await rm(join(clusterDir, "postmaster.pid"), { force: true });
  return undefined;
}

/**
 * Starts a server on the cluster and returns when it accepts connections.
 *
 * @param pickPort returns the TCP port to try; it is asked again if that one was taken
 * @throws EmbeddedPostgresError with the end of its log
 */
export async function startServer(
  place: ServerPlace,
  pickPort: () => Promise<number> = freePort,
): Promise<Postmaster> {
  const { clusterDir, logFile } = place;
  if ((await sizeOf(logFile)) > logLimit) await rename(logFile, `${logFile}.1`);
  const giveUpTime = performance.now() + retryMs;
  for (;;) {
    const logStart = await sizeOf(logFile);
    const child = await launch(place, await pickPort());
    const isRunning = async () => child.exitCode === null && child.signalCode === null;
    const server = await waitUntilReady(clusterDir, logFile, child.pid, isRunning);
    if (server !== undefined) return server;
    const said = (await readFile(logFile)).subarray(logStart).toString("utf8").trim();
    if (!passing.test(said) || performance.now() > giveUpTime) {
      throw new EmbeddedPostgresError(
        `PostgreSQL did not start on ${clusterDir}, and ${logFile} says:\n${said}`,
      );
    }
    await delay(100);
  }
}

/**
 * Starts the server's process, in a session of its own: Ctrl-C on the terminal must not reach it before the
 * service has drained. Not with pg_ctl, which hands the names of directories to the shell unquoted.
 */
async function launch(place: ServerPlace, port: number): Promise<ChildProcess & { readonly pid: number }> {
  const { clusterDir, logFile, binaries, account, fsync, connections } = place;
  const args = ["-D", clusterDir, ...settingArguments({ port, fsync, connections })];
  const { file, args: argv, options } = asAccount(account, binaries.postgres, args);
  const log = await open(logFile, "a", 0o600);
  try {
    await giveTo(account, logFile);
    const child = spawn(file, argv, {
      ...options,
      cwd: "/",
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
    });
    await once(child, "spawn");
    child.unref();
    return child as ChildProcess & { readonly pid: number };
  } finally {
    await log.close();
  }
}

/** Waits until the server accepts connections. Returns undefined if it ended before. */
async function waitUntilReady(
  clusterDir: string,
  logFile: string,
  pid: number,
  isRunning: () => Promise<boolean>,
): Promise<Postmaster | undefined> {
  const giveUpTime = performance.now() + startTimeoutMs;
  while (await isRunning()) {
    const found = await readPostmaster(clusterDir);
    if (found?.pid === pid && found.ready) return found;
    if (performance.now() > giveUpTime) {
      // It stays, because it may be replaying its log, and the next start finds it further on.
      throw new EmbeddedPostgresError(
        `PostgreSQL (process ${pid}) still does not accept connections after ${startTimeoutMs / 1000} s: ` +
          `see ${logFile}, and start again when it is ready`,
      );
    }
    await delay(pollMs);
  }
  return undefined;
}

/**
 * Stops the server and returns when it has ended. Ends its sessions, and rolls their transactions back.
 *
 * Does nothing if it ended before.
 */
export async function stopServer({ clusterDir, binaries, account }: ServerPlace, pid: number): Promise<void> {
  if (!(await isPostmaster(pid, clusterDir))) return;
  if (process.platform === "win32") {
    // Windows has no signals; pg_ctl knows how the server is told.
    await run(account, binaries.pg_ctl, ["stop", "--mode=fast", "--wait", `--pgdata=${clusterDir}`]);
    return;
  }
  for (const [signal, timeoutMs] of [
    ["SIGINT", fastStopTimeoutMs],
    ["SIGQUIT", immediateStopTimeoutMs],
  ] as const) {
    process.kill(pid, signal);
    const giveUpTime = performance.now() + timeoutMs;
    while (performance.now() < giveUpTime) {
      if (!(await isPostmaster(pid, clusterDir))) return;
      await delay(pollMs);
    }
  }
  throw new EmbeddedPostgresError(`PostgreSQL (process ${pid}) does not stop`);
}

async function sizeOf(file: string): Promise<number> {
  const found = await stat(file).catch(() => undefined);
  return found?.size ?? 0;
}
