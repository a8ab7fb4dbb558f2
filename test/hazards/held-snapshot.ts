/**
 * Holds a snapshot open, so that nothing that dies can be cleaned away, while tasks are claimed, kept and completed:
 * claims take no more than three times as long as without it.
 *
 * Usage: node test/hazards/held-snapshot.ts [seconds = 60]
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { startServiceProcess } from "../service.ts";
import { executor } from "./chaos/flows.ts";
import { createSubmitter } from "./chaos/submitter.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const heldSeconds = Number(process.argv[2] ?? 60);
const baselineSeconds = 20;
/** Each is a claim, a heartbeat and a report: three transactions. */
const roundsPerSecond = 34;
/** How many go on at the same time. */
const lanes = 4;
const runs = 8;
const mostRatio = 3;

await using database = await startScriptDatabase();
await using service = await startServiceProcess(database.serviceUrl);
const workers = service.client(WorkerService);
const submitter = createSubmitter([service], () => undefined, Math.random);
const tasks = Math.ceil(((heldSeconds + 2 * baselineSeconds) * roundsPerSecond) / runs);
for (let run = 0; run < runs; run++) {
  const work = { ms: 0, fails: 0, items: 0 };
  await submitter.submit(
    {
      name: `run ${run}`,
      priority: 0,
      tasks: Array.from({ length: tasks }, (_, index) => ({ name: `task-${index}`, dependsOn: [], work })),
    },
    60_000,
  );
}

/** Claims, keeps and completes one task; returns how long the claim took. */
async function round(): Promise<number> {
  const request = { executors: [executor], maxTaskExecutions: 1, workerId: "test", requestId: randomUUID() };
  const begin = performance.now();
  const { claimed } = await workers.claimTaskExecutions(request);
  const tookMs = performance.now() - begin;
  const { taskExecution, token } = claimed[0]!;
  const { id } = taskExecution!;
  await workers.heartbeatTaskExecutions({ heartbeats: [{ id, token }] });
  await workers.reportTaskExecutions({ reports: [{ id, token, result: { case: "completed", value: {} } }] });
  return tookMs;
}

/**
 * Makes rounds at a steady pace, or as quickly as they go, and returns how long the claims took, in the order in
 * which they ended.
 */
async function load(seconds: number): Promise<number[]> {
  const times: number[] = [];
  const begin = performance.now();
  const lane = async () => {
    while (performance.now() - begin < seconds * 1000) {
      const [tookMs] = await Promise.all([round(), sleep((1000 * lanes) / roundsPerSecond)]);
      times.push(tookMs);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return times;
}

function p99(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)]!;
}

await load(baselineSeconds / 2);
const baseline = p99(await load(baselineSeconds));
print(`without a snapshot a claim takes ${baseline.toFixed(1)} ms at most, of 99 in 100`);

const holder = new Client({ connectionString: database.adminUrl });
await holder.connect();
await holder.query("begin isolation level repeatable read");
await holder.query("select count(*) from task_execution");
const times = await load(heldSeconds);
const [{ dead }] = (await database.query<{ dead: number }>(
  "select n_dead_tup::int as dead from pg_stat_user_tables where relname = 'task_execution'",
)) as [{ dead: number }];
await holder.query("rollback");
await holder.end();
const last = p99(times.slice(-Math.ceil(times.length * (baselineSeconds / heldSeconds))));
print(`${times.length} rounds while it was held for ${heldSeconds} s, ${dead} dead rows`);
check(
  last <= mostRatio * baseline,
  `in the last ${baselineSeconds} s ${last.toFixed(1)} ms, ${(last / baseline).toFixed(1)} times as long, at most ${mostRatio}`,
);
