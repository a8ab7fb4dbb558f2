/**
 * Waits for the end of its standard input, then ends the PostgreSQL of a test run at once and removes its
 * directory. Does nothing if both are gone. Arguments: the directory, and the data directory within.
 */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { clusterDirOf } from "../src/db/embedded/cluster.ts";
import { isPostmaster, readPostmaster } from "../src/db/embedded/postmaster.ts";

const [dir, dataDir] = process.argv.slice(2);
if (dir === undefined || dataDir === undefined) throw new Error("arguments: directory, data directory");

process.stdin.resume();
await once(process.stdin, "end");

const clusterDir = clusterDirOf(dataDir);
const server = await readPostmaster(clusterDir);
if (server !== undefined && (await isPostmaster(server.pid, clusterDir))) {
  process.kill(server.pid, "SIGQUIT");
  while (await isPostmaster(server.pid, clusterDir)) await delay(20);
}
// With retries: a server or an initdb that is just ending may still write.
await rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
