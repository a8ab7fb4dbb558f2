/**
 * Kills the service at each statement of a correction that makes other records stale: either nothing of it is there
 * afterwards, or all of it.
 *
 * Usage: node test/hazards/outdate-kill.ts
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { create, fromJson } from "@bufbuild/protobuf";
import { FieldMaskSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { outcomeOf } from "../client.ts";
import { type Rule, startDatabaseProxy } from "../db/proxy.ts";
import { startServiceProcess } from "../service.ts";
import { startServer, startWorker } from "./chaos/fleet.ts";
import type { ChaosFlow } from "./chaos/flows.ts";
import { openHistory } from "./chaos/history.ts";
import { readState, type StoredTask } from "./chaos/state.ts";
import { createSubmitter } from "./chaos/submitter.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const width = 8;
const patienceMs = 60_000;
/** What a correction sends to the database; not what the service does by itself meanwhile. */
const statements = /^(?![\s\S]*(find_due_leases|find_api_key|api_key|listen|pg_notify))[\s\S]/;

const dir = await mkdtemp(join(tmpdir(), "taskledger-outdate-"));
await using database = await startScriptDatabase();
await using proxy = await startDatabaseProxy(database.serviceUrl);
await using healthy = await startServiceProcess(database.serviceUrl);
const victim = await startServer(proxy.url);
const worker = await startWorker(
  { origins: [healthy.origin], historyDir: dir, concurrency: 8, beatMs: 3000, seed: 1 },
  1,
);
const submitter = createSubmitter([healthy], openHistory(dir, "submitter"), Math.random);
const tasks = victim.service.client(TaskExecutionService);

/** A source, many tasks that are made from it, and one made from all of these. */
const flow = (name: string): ChaosFlow => {
  const work = { ms: 0, fails: 0, items: 1 };
  const middle = Array.from({ length: width }, (_, index) => `middle-${index}`);
  return {
    name,
    priority: 0,
    tasks: [
      { name: "source", dependsOn: [], work },
      ...middle.map((task) => ({ name: task, dependsOn: ["source"], work })),
      { name: "sink", dependsOn: middle, work },
    ],
  };
};

let runs = 0;
async function freshRun(): Promise<string> {
  const run = await submitter.submit(flow(`flow ${runs++}`), 10_000);
  const status = await submitter.untilEnded(run, Date.now() + patienceMs);
  if (status !== "completed") throw new Error(`run ${run} is ${status}`);
  return run;
}

async function tasksOf(run: string): Promise<StoredTask[]> {
  return (await readState(database)).tasks.filter((task) => task.run === run);
}

/** Corrects the source, and kills the service as soon as a rule has struck. Returns how the call ended. */
async function correct(run: string, rule: Rule): Promise<string> {
  const source = (await submitter.read(run)).find(({ taskName }) => taskName === "source")!;
  const output = fromJson(ValueSchema, { by: "correction", token: "", made: "corrected", items: [] });
  const updateMask = create(FieldMaskSchema, { paths: ["output"] });
  const call = outcomeOf(
    tasks.updateTaskExecution({ id: source.id, etag: source.etag, updateMask, output }, { timeoutMs: 4000 }),
  );
  let isOver = false;
  call.finally(() => {
    isOver = true;
  });
  while (rule.hits === 0 && !isOver) await sleep(5);
  if (rule.hits > 0) await victim.kill(0);
  return call;
}

/** Says how much of a correction is there: of all that was completed before. */
function extent(before: readonly StoredTask[], after: readonly StoredTask[]): "none" | "all" | "some" {
  if (isDeepStrictEqual(before, after)) return "none";
  const source = after.find(({ name }) => name === "source")!;
  const isWhole =
    JSON.parse(source.output!).made === "corrected" &&
    after.every(({ name, status }) => status === (name === "source" ? "completed" : "stale"));
  return isWhole ? "all" : "some";
}

const extents = { none: 0, all: 0, some: 0 };
let strikes = 0;
let run = await freshRun();
for (let statement = 0; ; statement++) {
  const before = await tasksOf(run);
  const rule = proxy.inject("silence", statements, 1, statement);
  const outcome = await correct(run, rule);
  proxy.reset();
  const found = extent(before, await tasksOf(run));
  extents[found]++;
  if (rule.hits === 0) {
    check(outcome === "ok" && found === "all", `without a kill: ${outcome}, ${found} of it is there`);
    break;
  }
  strikes++;
  if (outcome === "ok" || found !== "none") {
    check(
      false,
      `killed before statement ${statement}: the call ended with ${outcome}, ${found} of it is there`,
    );
    run = await freshRun();
  }
}
check(strikes >= 5, `${strikes} statements, killed before each: ${JSON.stringify(extents)}`);

run = await freshRun();
const before = await tasksOf(run);
const rule = proxy.inject("lose-after", /^commit/i);
const outcome = await correct(run, rule);
const found = extent(before, await tasksOf(run));
check(
  rule.hits > 0 && outcome !== "ok" && found === "all",
  `killed after the commit, before its answer: the call ended with ${outcome}, ${found} of it is there`,
);
const sum = flow("").tasks.length;
print(`     each correction is of 1 record and makes ${sum - 1} stale`);

await Promise.all([victim.end(), worker.end()]);
await rm(dir, { recursive: true, force: true });
