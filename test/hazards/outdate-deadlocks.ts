/**
 * Has eight writers correct outputs of the same runs in random order, and tag records of many runs in one
 * transaction, while workers make anew what became stale: nobody deadlocks, and in the end all that counts was
 * made from what counts.
 *
 * Usage: node test/hazards/outdate-deadlocks.ts [transactions = 2000] [seed = 1]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  TaskTagOperation_Action as Action,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { outcomeOf } from "../client.ts";
import { seededRandom } from "../server/header-fuzz.ts";
import { startServiceProcess } from "../service.ts";
import { checkAll, invariantOfErrors } from "./chaos/checker.ts";
import { startWorker } from "./chaos/fleet.ts";
import { type ChaosFlow, randomFlow } from "./chaos/flows.ts";
import { openHistory, readHistory } from "./chaos/history.ts";
import { readState } from "./chaos/state.ts";
import { createSubmitter } from "./chaos/submitter.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const transactions = Number(process.argv[2] ?? 2000);
const seed = Number(process.argv[3] ?? 1);
const writers = 8;
const runs = 6;
const tagged = 20;
const patienceMs = 120_000;

const dir = await mkdtemp(join(tmpdir(), "taskledger-outdate-"));
await using database = await startScriptDatabase();
await using one = await startServiceProcess(database.serviceUrl);
await using two = await startServiceProcess(database.serviceUrl);
const services = [one, two];
const base = {
  origins: services.map(({ origin }) => origin),
  historyDir: dir,
  concurrency: 16,
  beatMs: 3000,
};
const workers = await Promise.all([1, 2].map((index) => startWorker({ ...base, seed: index }, index)));

const random = seededRandom(seed);
const submitter = createSubmitter(services, openHistory(dir, "submitter"), random);
const flows = new Map<string, ChaosFlow>();
for (let index = 0; index < runs; index++) {
  const flow = randomFlow(`flow ${index}`, random);
  const tasks = flow.tasks.map((task) => ({ ...task, work: { ...task.work, ms: 0, fails: 0 } }));
  flows.set(await submitter.submit({ ...flow, tasks }, 10_000), { ...flow, tasks });
}
const ended = async () =>
  Promise.all([...flows.keys()].map((run) => submitter.untilEnded(run, Date.now() + patienceMs)));
check(
  (await ended()).every((status) => status === "completed"),
  `${runs} runs completed`,
);

const known = (await readState(database)).tasks.map(({ id }) => id);
let left = transactions;
const tally = { corrected: 0, tagged: 0, "passed over": 0 };
async function write(writer: number): Promise<void> {
  const own = seededRandom(seed * 100 + writer);
  const pick = <T>(all: readonly T[]) => all[Math.floor(own() * all.length)]!;
  const mine = createSubmitter([services[writer % 2]!], openHistory(dir, `writer-${writer}`), own);
  const tasks = services[writer % 2]!.client(TaskExecutionService);
  for (let count = 0; left > 0; count++) {
    if (own() < 0.25) {
      // Of several runs, in no order.
      const ids = new Set(Array.from({ length: tagged }, () => pick(known)));
      const operations = [...ids].map((id) => ({ id, action: Action.ADD, tag: `w${writer}:${count % 10}` }));
      const outcome = await outcomeOf(tasks.updateTaskTags({ operations }));
      tally[outcome === "ok" ? "tagged" : "passed over"]++;
      left -= outcome === "ok" ? 1 : 0;
      continue;
    }
    const [run, flow] = pick([...flows]);
    const outcome = await mine.correct(run, pick(flow.tasks).name, `w${writer}-${count}`);
    tally[outcome]++;
    left -= outcome === "corrected" ? 1 : 0;
  }
}
const begin = performance.now();
await Promise.all(Array.from({ length: writers }, (_, index) => write(index)));
const took = (performance.now() - begin) / 1000;
print(`${transactions} transactions of ${writers} writers in ${took.toFixed(0)} s: ${JSON.stringify(tally)}`);

check(
  (await ended()).every((status) => status === "completed"),
  `${runs} runs completed again`,
);
await Promise.all(workers.map((worker) => worker.end()));
const [figures] = await database.query<{ deadlocks: number }>(
  "select deadlocks::int from pg_stat_database where datname = current_database()",
);
check(figures!.deadlocks === 0, `${figures!.deadlocks} deadlocks`);
const state = await readState(database);
const stale = state.events.filter(({ type }) => type === "outdate").length;
check(stale > 0, `${stale} records became stale, ${state.events.length} events in all`);
const history = readHistory(dir);
const readable = new Map<string, { status: string; output: unknown }>();
for (const run of flows.keys()) {
  for (const task of state.tasks.filter((one) => one.run === run)) {
    readable.set(task.id, { status: task.status, output: task.output && JSON.parse(task.output) });
  }
}
for (const [invariant, faults] of checkAll({ flows, history, readable, state })) {
  // Those who correct the same are in each other's way, and are told so.
  if (invariant === invariantOfErrors) continue;
  check(faults.length === 0, `${invariant}${faults.length > 0 ? `: ${faults.slice(0, 3).join("; ")}` : ""}`);
}
await rm(dir, { recursive: true, force: true });
