/**
 * Stands for the service in tests that kill it: starts the embedded PostgreSQL on the directory of its
 * argument, prints how to reach it as a line of JSON, and stops it on SIGTERM.
 */
import { once } from "node:events";
import { startEmbeddedPostgres } from "../../../src/db/embedded.ts";

const [dataDir] = process.argv.slice(2);
if (dataDir === undefined) throw new Error("argument: data directory");

const terminated = once(process, "SIGTERM");
const keepRunning = setInterval(() => {}, 60_000);
const { stop, ...postgres } = await startEmbeddedPostgres({ dataDir, fsync: false });
process.stdout.write(`${JSON.stringify(postgres)}\n`);
await terminated;
clearInterval(keepRunning);
await stop();
