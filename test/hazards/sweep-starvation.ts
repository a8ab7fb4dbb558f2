/**
 * Lets ten thousand leases run out in runs that somebody else has locked, and one in another run: the sweeper has
 * to skip the many, and ends the one within two of its periods.
 *
 * Usage: node test/hazards/sweep-starvation.ts
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { leaseLimits } from "../../src/dispatch/lease-limits.ts";
import { startServiceProcess } from "../service.ts";
import { claimAll } from "./claim-all.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const lockedRuns = 10;
const tasksPerRun = 1000;
/** The pause between sweeps is a quarter longer at most. */
const mostMs = 2 * 1.25 * leaseLimits.sweepMs;

await using database = await startScriptDatabase();
await using service = await startServiceProcess(database.serviceUrl);
const locked: string[] = [];
for (let index = 0; index < lockedRuns; index++) {
  locked.push((await claimAll(service, `locked ${index}`, tasksPerRun)).id);
}
// Made later, so that its lease comes last in the order in which leases are looked at.
const other = (await claimAll(service, "other", 1)).id;
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
