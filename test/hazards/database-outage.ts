/**
 * Takes the database away for a minute while calls keep coming: each fails fast with UNAVAILABLE or a bound that
 * was reached, memory stays flat, the process stays alive and says that it is not ready, and all is well again
 * within seconds after.
 *
 * Usage: node test/hazards/database-outage.ts [seconds = 60]
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { outcomeOf } from "../client.ts";
import { startDatabaseProxy } from "../db/proxy.ts";
import { givenRun } from "../runs.ts";
import { startServiceProcess } from "../service.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const outageMs = Number(process.argv[2] ?? 60) * 1000;
const callsPerSecond = 50;
const deadlineMs = 5000;
const mostNoticeMs = 5000;
const mostRecoveryMs = 5000;
const mostGrowthMegabytes = 5;

await using database = await startScriptDatabase();
await using proxy = await startDatabaseProxy(database.serviceUrl);
const folder = await mkdtemp(join(tmpdir(), "taskledger-outage-"));
const report = join(folder, "heap");
await using service = await startServiceProcess(proxy.url, {
  NODE_OPTIONS: `--import ${new URL("./heap-reporter.ts", import.meta.url)}`,
  HEAP_REPORT: report,
});
const tasks = service.client(TaskExecutionService);
const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);

const isReady = async () => (await fetch(`${service.origin}/readyz`)).ok;
const isAlive = async () => (await fetch(`${service.origin}/healthz`)).ok;

/** What the process holds, in MB, and what of that is no garbage. Resident memory alone tells how lazy the collector is. */
async function memory(): Promise<{ resident: number; left: number }> {
  const status = await readFile(`/proc/${service.pid}/status`, "utf8");
  const resident = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  await rm(report, { force: true });
  process.kill(service.pid, "SIGUSR2");
  for (;;) {
    const left = await readFile(report, "utf8").catch(() => undefined);
    if (left !== undefined) return { resident, left: Number(left) / 2 ** 20 };
    await sleep(20);
  }
}

let idx = 0;
const acknowledged: number[] = [];
const tally: Record<string, number> = {};
let slowest = 0;
async function call(): Promise<string> {
  const taskExecutionIdx = idx++;
  const begin = performance.now();
  const report = { flowExecutionId, taskName: "task", taskExecutionIdx, status: Status.QUEUED };
  const outcome = await outcomeOf(tasks.createTaskExecution(report, { timeoutMs: deadlineMs }));
  slowest = Math.max(slowest, performance.now() - begin);
  if (outcome === "ok") acknowledged.push(taskExecutionIdx);
  return outcome;
}

async function load(durationMs: number): Promise<void> {
  const calls: Promise<void>[] = [];
  for (
    const end = performance.now() + durationMs;
    performance.now() < end;
    await sleep(1000 / callsPerSecond)
  ) {
    calls.push(
      call().then((outcome) => {
        tally[outcome] = (tally[outcome] ?? 0) + 1;
      }),
    );
  }
  await Promise.all(calls);
}

async function until(condition: () => Promise<boolean>, mostMs: number): Promise<number> {
  const begin = performance.now();
  while (!(await condition()) && performance.now() - begin < 2 * mostMs) await sleep(50);
  return performance.now() - begin;
}

await load(5000);
check(tally["ok"] === idx, `before: ${idx} calls, all OK`);
for (const outcome of Object.keys(tally)) delete tally[outcome];

proxy.setReachable(false);
const noticed = until(async () => !(await isReady()), mostNoticeMs);
// The first third warms up: failing is another path than succeeding. From then on memory must be flat.
await load(outageMs / 3);
const before = await memory();
await load((2 * outageMs) / 3);
check((await noticed) <= mostNoticeMs, `not ready after ${(await noticed).toFixed(0)} ms`);
check(await isAlive(), "alive all the while");
const allowed = ["DATABASE_UNAVAILABLE", "POOL_EXHAUSTED", "DEADLINE_EXCEEDED", "TOO_MANY_REQUESTS"];
check(
  Object.keys(tally).every((outcome) => allowed.includes(outcome)),
  `${outageMs / 1000} s without a database: ${JSON.stringify(tally)}`,
);
check(slowest <= deadlineMs + 500, `the slowest call took ${slowest.toFixed(0)} ms of ${deadlineMs}`);
const after = await memory();
const growth = after.left - before.left;
check(
  growth <= mostGrowthMegabytes,
  `without garbage: ${before.left.toFixed(1)} MB after a third of it, ${growth.toFixed(1)} MB more at its end; resident: ${before.resident.toFixed(0)} and ${after.resident.toFixed(0)} MB`,
);

proxy.setReachable(true);
const recovered = await until(async () => (await isReady()) && (await call()) === "ok", mostRecoveryMs);
check(recovered <= mostRecoveryMs, `all well again after ${recovered.toFixed(0)} ms`);
let lost = 0;
for (const taskExecutionIdx of acknowledged) {
  const key = { flowExecutionId, taskName: "task", taskExecutionIdx };
  const outcome = await outcomeOf(tasks.getTaskExecution({ lookup: { case: "key", value: key } }));
  lost += outcome === "ok" ? 0 : 1;
}
check(lost === 0, `${acknowledged.length} acknowledged records, ${lost} lost`);
check(service.isAlive(), "the process is still the same");
await rm(folder, { recursive: true });
print("done");
