import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { TaskExecution_Status as Status } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { nameIn } from "../../client.ts";
import { seededRandom } from "../../server/header-fuzz.ts";
import { type ScriptDatabase, startScriptDatabase } from "../ledger.ts";
import { checkAll, type Findings } from "./checker.ts";
import { type Fault, type FaultKind, planFaults } from "./faults.ts";
import { type Member, type Server, startServer, startWorker, type WorkerKind } from "./fleet.ts";
import type { ChaosFlow } from "./flows.ts";
import { type Entry, openHistory, readHistory } from "./history.ts";
import { type Observed, startObserver } from "./observer.ts";
import { Outages } from "./outages.ts";
import { readState, type State } from "./state.ts";
import { createSubmitter, type Submitter } from "./submitter.ts";

/** What happens: which flows run on which fleet, and what goes wrong meanwhile. Times in milliseconds. */
export interface Scenario {
  readonly seed: number;
  readonly flows: readonly ChaosFlow[];
  readonly servers: number;
  readonly workers: number;
  /** How they are made, in turn. */
  readonly workerKinds: readonly WorkerKind[];
  /** How many tasks a worker works on at a time. */
  readonly concurrency: number;
  readonly leaseMs: number;
  /** Within which time flows are submitted and faults happen. */
  readonly windowMs: number;
  readonly kinds: readonly FaultKind[];
  readonly faults: number;
  /** How many outputs are corrected. */
  readonly corrections: number;
  /** How long after the last fault all runs have to have ended. */
  readonly patienceMs: number;
}

/** What came of it. */
export interface Outcome {
  readonly findings: Findings;
  readonly observed: Observed;
  /** How often each kind of fault struck a process that was up. */
  readonly hits: ReadonlyMap<FaultKind, number>;
  readonly history: readonly Entry[];
  readonly state: State;
  readonly corrected: number;
  readonly servers: readonly Server[];
  readonly tookMs: number;
}

/** Plays a scenario on a PostgreSQL of its own, and checks what came of it. */
export async function play(scenario: Scenario): Promise<Outcome> {
  const begin = performance.now();
  const dir = await mkdtemp(join(tmpdir(), "taskledger-chaos-"));
  const members: Member[] = [];
  await using database = await startScriptDatabase();
  try {
    const servers = await Promise.all(
      Array.from({ length: scenario.servers }, () => startServer(database.serviceUrl)),
    );
    members.push(...servers);
    const origins = servers.map(({ service }) => service.origin);
    const base = {
      origins,
      historyDir: dir,
      concurrency: scenario.concurrency,
      beatMs: scenario.leaseMs / 3,
    };
    const workers = await Promise.all(
      Array.from({ length: scenario.workers }, (_, index) =>
        startWorker(
          { ...base, seed: scenario.seed * 100 + index },
          index,
          scenario.workerKinds[index % scenario.workerKinds.length],
        ),
      ),
    );
    members.push(...workers);
    const outages = new Outages();
    const observer = startObserver(database.adminUrl, servers, outages);
    const played = await playOn(scenario, { database, servers, workers, outages, dir });
    const observed = await observer.stop();
    // The workers end first: what they are told must not change while it is read.
    await Promise.all(workers.map((worker) => worker.end()));
    const readable = await readAll(played.submitter, [...played.flows.keys()]);
    const state = await readState(database);
    const history = readHistory(dir);
    return {
      findings: checkAll({ flows: played.flows, history, readable, state }),
      observed,
      hits: played.hits,
      history,
      state,
      corrected: played.corrected,
      servers,
      tookMs: performance.now() - begin,
    };
  } finally {
    await Promise.allSettled(members.map((member) => member.end()));
    await rm(dir, { recursive: true, force: true });
  }
}

interface Stage {
  readonly database: ScriptDatabase;
  readonly servers: readonly Server[];
  readonly workers: readonly Member[];
  readonly outages: Outages;
  readonly dir: string;
}

/** Submits and corrects while the faults happen, and waits until every run has ended. */
async function playOn(scenario: Scenario, stage: Stage) {
  const { seed, windowMs } = scenario;
  // Each has random numbers of its own: what one draws does not depend on how far another is.
  const submitter = createSubmitter(
    stage.servers.map(({ service }) => service),
    openHistory(stage.dir, "submitter"),
    seededRandom(seed + 1_000_000),
  );
  const plan = planFaults(seededRandom(seed + 2_000_000), {
    kinds: scenario.kinds,
    count: scenario.faults,
    windowMs,
  });
  const flows = new Map<string, ChaosFlow>();
  const submitting = async () => {
    for (const flow of scenario.flows) {
      flows.set(await submitter.submit(flow, scenario.leaseMs), flow);
      await sleep((windowMs * 0.8) / scenario.flows.length);
    }
  };
  let corrected = 0;
  const correcting = async () => {
    const random = seededRandom(seed + 3_000_000);
    for (let count = 0; count < scenario.corrections; count++) {
      await sleep(windowMs / (scenario.corrections + 1));
      const [run, flow] = [...flows][Math.floor(random() * flows.size)] ?? [];
      if (flow === undefined) continue;
      const task = flow.tasks[Math.floor((random() * flow.tasks.length) / 2)]!;
      const outcome = await submitter.correct(run!, task.name, `c${seed}-${count}`);
      corrected += outcome === "corrected" ? 1 : 0;
    }
  };
  const [hits] = await Promise.all([strike(plan, stage), submitting(), correcting()]);
  const until = Date.now() + scenario.patienceMs;
  await Promise.all([...flows.keys()].map((run) => submitter.untilEnded(run, until)));
  return { flows, hits, corrected, submitter };
}

/** How long a fault waits for a process that it can strike. */
const mostPatienceMs = 10_000;

/** Lets the faults happen, and returns how often each kind did. */
async function strike(plan: readonly Fault[], stage: Stage): Promise<Map<FaultKind, number>> {
  const { database, servers, workers, outages } = stage;
  const hits = new Map<FaultKind, number>();
  const begin = performance.now();
  const healing: Promise<unknown>[] = [];
  const heal = (healed: Promise<unknown>) => {
    // Whether it failed is asked at the end; until then nobody listens.
    healed.catch(() => undefined);
    healing.push(healed);
  };
  let restarted: Promise<void> = Promise.resolve();
  for (const { kind, atMs, target, lastsMs } of plan) {
    await sleep(Math.max(0, begin + atMs - performance.now()));
    const hit = () => hits.set(kind, (hits.get(kind) ?? 0) + 1);
    if (kind === "restart-postgres") {
      hit();
      restarted = outages.during(restarted.then(() => database.crash()));
      heal(restarted);
      continue;
    }
    const members = kind === "kill-worker" || kind === "pause-worker" ? workers : servers;
    const rotated = members.map((_, index) => members[(index + target) % members.length]!);
    const findUp = () => rotated.find(({ state }) => state === "up");
    const patience = performance.now() + mostPatienceMs;
    while (findUp() === undefined && performance.now() < patience) await sleep(20);
    const member = findUp();
    if (member === undefined) continue;
    hit();
    const healed = kind.startsWith("kill") ? member.kill(lastsMs) : member.pause(sleep(lastsMs));
    const areServersUp = servers.some(({ state }) => state === "up");
    heal(kind === "pause-server" || !areServersUp ? outages.during(healed) : healed);
  }
  await Promise.all(healing);
  return hits;
}

async function readAll(submitter: Submitter, runs: readonly string[]) {
  const readable = new Map<string, { status: string; output: unknown }>();
  for (const run of runs) {
    for (const { id, status, output } of await submitter.read(run)) {
      const text = nameIn(Status, status)!.toLowerCase();
      readable.set(id, { status: text, output: output && toJson(ValueSchema, output) });
    }
  }
  return readable;
}
