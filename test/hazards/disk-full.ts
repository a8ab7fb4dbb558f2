/**
 * Fills the disk under the database while calls keep coming: writes are refused as such, nobody repeats them in a
 * storm, reads and heartbeats go on, and all is well again without a restart once there is room.
 *
 * As root the disk is a real one, small and in memory; elsewhere a proxy answers as PostgreSQL does on a full one.
 *
 * Usage: node test/hazards/disk-full.ts [seconds = 10]
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import {
  HeartbeatTaskExecutionsResponse_State as State,
  WorkerService,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import { defaultDatabaseLimits } from "../../src/db/orm.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { outcomeOf } from "../client.ts";
import { startDatabaseProxy } from "../db/proxy.ts";
import { givenRun } from "../runs.ts";
import { startServiceProcess } from "../service.ts";
import { claimAll } from "./claim-all.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const seconds = Number(process.argv[2] ?? 10);
const callsPerSecond = 20;
const diskMegabytes = 12;
const fillerMegabytes = 3;
const mostRecoveryMs = 5000;

await using database = await startScriptDatabase();
await using proxy = await startDatabaseProxy(database.serviceUrl);
await using service = await startServiceProcess(proxy.url);
const tasks = service.client(TaskExecutionService);
const workers = service.client(WorkerService);
const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
const kept = await claimAll(service, "kept", 10);
// So many that what follows them does not fit into the room that is left in pages.
const lost = await claimAll(service, "lost", 400);

/** Room that is taken away and given back. */
interface Disk {
  fill(): void;
  free(): void;
  [Symbol.dispose](): void;
}

/** Moves the records to a disk of their own, or returns undefined if that cannot be done here. */
async function mountDisk(): Promise<Disk | undefined> {
  if (process.getuid?.() !== 0 || process.platform !== "linux") return undefined;
  const dir = mkdtempSync(join(tmpdir(), "taskledger-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${diskMegabytes}m`, "tmpfs", dir], { stdio: "ignore" });
  } catch {
    rmSync(dir, { recursive: true });
    return undefined;
  }
  chmodSync(dir, 0o711);
  const { uid, gid } = statSync(`/proc/${database.pid}`);
  const place = join(dir, "place");
  mkdirSync(place);
  chownSync(place, uid, gid);
  await database.query(`create tablespace small location '${place}'`);
  await database.query("alter table task_execution set tablespace small");
  const filler = join(dir, "filler");
  writeFileSync(filler, Buffer.alloc(fillerMegabytes * 2 ** 20));
  return {
    // The records fill it themselves.
    fill: () => undefined,
    free: () => rmSync(filler),
    [Symbol.dispose]() {
      // Lazily: the database still has its files open.
      execFileSync("umount", ["--lazy", dir]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const pretended: Disk = {
  fill: () =>
    void proxy.inject({ sqlState: "53100" }, /(insert into|update) task_execution/, Number.MAX_SAFE_INTEGER),
  free: () => proxy.reset(),
  [Symbol.dispose]: () => undefined,
};
const real = await mountDisk();
using disk = real ?? pretended;
print(real ? `a disk of ${diskMegabytes} MB` : "a pretended disk");

let idx = 0;
const acknowledged: number[] = [];
async function write(): Promise<string> {
  const taskExecutionIdx = idx++;
  // It cannot be compressed away.
  const output = fromJson(ValueSchema, randomBytes(100_000).toString("base64"));
  const report = { flowExecutionId, taskName: "task", taskExecutionIdx, status: Status.COMPLETED, output };
  const outcome = await outcomeOf(tasks.createTaskExecution(report, { timeoutMs: 5000 }));
  if (outcome === "ok") acknowledged.push(taskExecutionIdx);
  return outcome;
}
async function read(): Promise<string> {
  return outcomeOf(tasks.listTaskExecutions({ flowExecutionId }, { timeoutMs: 5000 }));
}
/**
 * Counts the transactions that failed so far. A backend sends its counts on when it has done something a second or more
 * after it did so last, so each of the pool is given something to do.
 */
async function rollbacks(): Promise<number> {
  await sleep(1500);
  await Promise.all(Array.from({ length: 3 * defaultDatabaseLimits.pool }, read));
  const [row] = await database.query<{ count: number }>(
    "select xact_rollback::int as count from pg_stat_database where datname = current_database()",
  );
  return row!.count;
}

if (!real) await write();
disk.fill();
let first = "ok";
while (first === "ok") first = await write();
check(first === "STORAGE_FULL", `full after ${acknowledged.length} writes: ${first}`);

// These leases run out now, and cannot be ended as long as the disk is full.
await database.query(
  "update task_lease set expire_time = now() - interval '1 minute' where flow_execution_id = $1",
  [lost.id],
);
const before = await rollbacks();
const tally = {
  writes: {} as Record<string, number>,
  reads: {} as Record<string, number>,
  beats: 0,
  wanted: 0,
};
const count = (into: Record<string, number>) => (outcome: string) => {
  into[outcome] = (into[outcome] ?? 0) + 1;
};
async function beat(): Promise<void> {
  const { results } = await workers.heartbeatTaskExecutions({ heartbeats: [...kept.held] });
  tally.wanted += kept.held.length;
  tally.beats += results.filter(({ state }) => state === State.HELD).length;
}
const beginLoad = performance.now();
/** Calls one after the other: a machine that is busy is not buried under calls. */
async function load(call: () => Promise<unknown>): Promise<void> {
  while (performance.now() - beginLoad < seconds * 1000) {
    await Promise.all([call(), sleep(1000 / callsPerSecond)]);
  }
}
await Promise.all([
  load(() => write().then(count(tally.writes))),
  load(() => read().then(count(tally.reads))),
  load(beat),
]);
const writes = Object.values(tally.writes).reduce((a, b) => a + b, 0);
const extra = (await rollbacks()) - before - writes;
check(
  Object.keys(tally.writes).every((outcome) => outcome === "STORAGE_FULL"),
  `${writes} writes in ${seconds} s: ${JSON.stringify(tally.writes)}`,
);
check(Object.keys(tally.reads).join() === "ok", `reads: ${JSON.stringify(tally.reads)}`);
check(tally.beats === tally.wanted, `${tally.beats} of ${tally.wanted} heartbeats kept their leases`);
check(
  extra >= 0 && extra <= 2 * (seconds + 5),
  `${extra} transactions failed beside those that were asked for, at most two a second`,
);

const leasesLeft = async () =>
  (await database.query("select from task_lease where flow_execution_id = $1", [lost.id])).length;
check((await leasesLeft()) > 0, `${await leasesLeft()} leases have run out and cannot be ended`);

disk.free();
const begin = performance.now();
let again = "";
while (again !== "ok" && performance.now() - begin < 2 * mostRecoveryMs) again = await write();
const tookMs = performance.now() - begin;
check(
  again === "ok" && tookMs <= mostRecoveryMs,
  `writes are taken again after ${tookMs.toFixed(0)} ms: ${again}`,
);
while ((await leasesLeft()) > 0 && performance.now() - begin < 30_000) await sleep(100);
check(
  (await leasesLeft()) === 0,
  `what had run out was ended ${(performance.now() - begin).toFixed(0)} ms after that`,
);
let gone = 0;
for (const taskExecutionIdx of acknowledged) {
  const value = { flowExecutionId, taskName: "task", taskExecutionIdx };
  gone += (await outcomeOf(tasks.getTaskExecution({ lookup: { case: "key", value } }))) === "ok" ? 0 : 1;
}
check(gone === 0, `${acknowledged.length} acknowledged records, ${gone} lost`);
check(service.isAlive(), "the process is still the same");
