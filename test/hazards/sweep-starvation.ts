/**
 * Lets ten thousand leases run out in runs that somebody else has locked, and one in another run: the sweeper has
 * to skip the many, and ends the one within two of its periods.
 *
 * Usage: node test/hazards/sweep-starvation.ts
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { leaseLimits } from "../../src/dispatch/lease-limits.ts";
import { startServiceProcess } from "../service.ts";
import { executor } from "./chaos/flows.ts";
import { createSubmitter } from "./chaos/submitter.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const lockedRuns = 10;
const tasksPerRun = 1000;
const hourMs = 3_600_000;
/** The pause between sweeps is a quarter longer at most. */
const mostMs = 2 * 1.25 * leaseLimits.sweepMs;

await using database = await startScriptDatabase();
await using service = await startServiceProcess(database.serviceUrl);
const submitter = createSubmitter([service], () => undefined, Math.random);
const workers = service.client(WorkerService);

/** Starts a run of tasks and claims them all. */
async function claimAll(name: string, tasks: number): Promise<string> {
  const run = await submitter.submit(
    {
      name,
      priority: 0,
      tasks: Array.from({ length: tasks }, (_, index) => ({
        name: `task-${index}`,
        dependsOn: [],
        work: { ms: 0, fails: 0, items: 0 },
      })),
    },
    hourMs,
  );
  for (let left = tasks; left > 0; ) {
    const request = {
      executors: [executor],
      maxTaskExecutions: 100,
      workerId: "test",
      requestId: randomUUID(),
    };
    left -= (await workers.claimTaskExecutions(request)).claimed.length;
  }
  return run;
}

const locked: string[] = [];
for (let index = 0; index < lockedRuns; index++) locked.push(await claimAll(`locked ${index}`, tasksPerRun));
// Made later, so that its lease comes last in the order in which leases are looked at.
const other = await claimAll("other", 1);
print(`${lockedRuns * tasksPerRun} leases in ${lockedRuns} runs, one in another`);

const blocker = new Client({ connectionString: database.adminUrl });
await blocker.connect();
await blocker.query("begin");
await blocker.query("select from flow_execution where id = any($1) for no key update", [locked]);
await database.query("update task_lease set expire_time = now() - interval '1 minute'");
const begin = performance.now();
const isOver = async () => {
  const [lease] = await database.query("select from task_lease where flow_execution_id = $1", [other]);
  return lease === undefined;
};
while (!(await isOver()) && performance.now() - begin < 60_000) await sleep(50);
const tookMs = performance.now() - begin;
check(tookMs <= mostMs, `the one was ended after ${tookMs.toFixed(0)} ms, at most ${mostMs}`);

await blocker.query("rollback");
await blocker.end();
const freed = performance.now();
const left = async () =>
  (await database.query<{ count: number }>("select count(*)::int from task_lease"))[0]!.count;
while ((await left()) > 0 && performance.now() - freed < 120_000) await sleep(100);
check(
  (await left()) === 0,
  `the many were ended ${(performance.now() - freed).toFixed(0)} ms after they were free`,
);
check(service.isAlive(), "the process is still the same");
