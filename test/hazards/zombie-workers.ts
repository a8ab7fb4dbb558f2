/**
 * Pauses a worker that holds a hundred tasks until its leases are long over and another has done its work, and lets
 * it go on: each of its results is refused, and changes nothing but that it is kept as a late one.
 *
 * Usage: node test/hazards/zombie-workers.ts
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startServer, startWorker } from "./chaos/fleet.ts";
import { openHistory, readHistory } from "./chaos/history.ts";
import { readState } from "./chaos/state.ts";
import { createSubmitter } from "./chaos/submitter.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check } from "./report.ts";

const tasks = 100;
const leaseMs = 5000;
const patienceMs = 60_000;

const dir = await mkdtemp(join(tmpdir(), "taskledger-zombie-"));
await using database = await startScriptDatabase();
const server = await startServer(database.serviceUrl);
const submitter = createSubmitter([server.service], openHistory(dir, "submitter"), Math.random);
const base = { origins: [server.service.origin], historyDir: dir, concurrency: tasks, beatMs: leaseMs / 3 };
const zombie = await startWorker({ ...base, seed: 1 }, 1);

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + patienceMs; !condition() && Date.now() < end; ) await sleep(50);
}

const begin = Date.now();
const run = await submitter.submit(
  {
    name: "zombie",
    priority: 0,
    tasks: Array.from({ length: tasks }, (_, index) => ({
      name: `task-${index}`,
      dependsOn: [],
      // Long enough for the worker to be paused before it is done with any.
      work: { ms: 3000, fails: 0, items: 0 },
    })),
  },
  leaseMs,
);
const entriesOf = (kind: string, worker: string) =>
  readHistory(dir).filter(
    (entry) => entry.kind === kind && "worker" in entry && entry.worker.startsWith(worker),
  );
await until(() => entriesOf("claimed", "worker-1").length === tasks);
check(entriesOf("claimed", "worker-1").length === tasks, `one worker holds ${tasks} tasks`);

const other = await startWorker({ ...base, seed: 2 }, 2);
let status = "";
await zombie.pause(
  (async () => {
    await sleep(2 * leaseMs);
    status = await submitter.untilEnded(run, Date.now() + patienceMs);
  })(),
);
check(
  status === "completed",
  `another did its work while it was paused for ${Date.now() - begin} ms: ${status}`,
);
await until(() => entriesOf("reported", "worker-1").length === tasks);

const refused = entriesOf("reported", "worker-1").filter(
  (entry) => entry.kind === "reported" && entry.answer === "LEASE_LOST",
);
check(refused.length === tasks, `${refused.length} of ${tasks} of its results are refused as LEASE_LOST`);
const state = await readState(database);
const completed = state.tasks.filter(({ status: is }) => is === "completed");
const others = completed.filter(({ output }) => JSON.parse(output!).by.startsWith("worker-2"));
check(
  others.length === tasks,
  `${others.length} of ${completed.length} outputs are those of the other worker`,
);
const late = state.events.filter(({ type }) => type === "late_result").length;
check(late === tasks, `${late} late results are kept`);

await Promise.all([zombie.end(), other.end(), server.end()]);
await rm(dir, { recursive: true, force: true });
