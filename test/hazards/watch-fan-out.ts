/**
 * Lets 500 watchers follow one run that changes 200 times a second, at one server, while another one is written to:
 * each is told of every record within 150 ms of its commit (95 of 100 times), the process asks the database once for
 * all of them, and its memory stays flat once the feed keeps as many changes as it ever does.
 *
 * Usage: node test/hazards/watch-fan-out.ts [watchers = 500] [seconds = 30]
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { Intercom } from "../../src/dispatch/intercom.ts";
import { defaultWatchLimits } from "../../src/watch/watch-limits.ts";
import { callerFrom } from "../client.ts";
import { givenRun } from "../runs.ts";
import { startServiceProcess } from "../service.ts";
import { connectForRaw, watchRaw } from "../watch/raw-watcher.ts";
import { startWatchServer } from "../watch/watch-server.ts";
import { startScriptDatabase } from "./ledger.ts";
import { heldMegabytes } from "./memory.ts";
import { check, print } from "./report.ts";

/** How many streams go over one connection. */
const streamsPerConnection = 100;
/** Every tenth watcher reads all that it is told, and is asked when it was; the others only count. */
const sampled = 10;
const changesPerSecond = 200;
const changesPerCommit = 10;
const mostLatencyMs = 150;
const mostGrowthMegabytes = 20;
/** Until the feed keeps as many changes as it ever does: what it holds grows until then, and must not after. */
const warmUpSeconds = Math.ceil((defaultWatchLimits.keptEntries * 1.2) / changesPerSecond);
/** After how many parts of the measurement the memory is looked at: one look more or less is noise. */
const parts = 8;

if (process.argv[2] === "watch") {
  await watchAll(process.argv[3]!, process.argv[4]!, Number(process.argv[5]));
} else {
  await measure(Number(process.argv[2] ?? 500), Number(process.argv[3] ?? 30));
}

async function measure(watchers: number, seconds: number): Promise<void> {
  await using database = await startScriptDatabase();
  await using writer = await startServiceProcess(database.serviceUrl);
  const { organization } = await writer.client(OrganizationService).getOrganization({});
  const organizationId = organization!.id;
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["task"]);
  await using server = await startWatchServer(database.orm, {
    authenticate: async (credential) => callerFrom(organizationId, { subject: credential }),
  });
  const onCall = { change: (id: string) => server.feeds.ring(id), ready: () => undefined };
  const intercom = new Intercom(database.serviceUrl, onCall, pino({ level: "silent" }));
  const tasks = writer.client(TaskExecutionService);
  const report = { flowExecutionId, taskName: "task", status: Status.QUEUED };

  const child = fork(import.meta.filename, ["watch", server.origin, flowExecutionId, String(watchers)]);
  await heard(child, "synced");
  const acknowledged = new Map<number, number>();
  let idx = 0;
  let commits = 0;
  const change = async () => {
    const requests = Array.from({ length: changesPerCommit }, () => ({ ...report, taskExecutionIdx: idx++ }));
    await tasks.batchCreateTaskExecutions({ requests });
    for (const { taskExecutionIdx } of requests) acknowledged.set(taskExecutionIdx, Date.now());
    commits++;
  };
  const load = async (durationMs: number) => {
    const begin = performance.now();
    const commitsPerSecond = changesPerSecond / changesPerCommit;
    const wanted = (commitsPerSecond * durationMs) / 1000;
    let sent = 0;
    // One after the other, as they change one run and would only wait for each other.
    for (; sent < wanted && performance.now() - begin < 2 * durationMs; sent++) {
      const dueMs = begin + (sent * 1000) / commitsPerSecond - performance.now();
      if (dueMs > 0) await sleep(dueMs);
      await change();
    }
  };

  await load(warmUpSeconds * 1000);
  commits = 0;
  const [looksBefore, from] = [server.feeds.figures.looks, idx];
  const [begin, cpuBefore] = [performance.now(), process.cpuUsage()];
  const held: number[] = [];
  for (let part = 0; part < parts; part++) {
    await load((seconds * 1000) / parts);
    held.push(heldMegabytes());
  }
  const took = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const [rate, cpu] = [(idx - from) / took, (user + system) / 1e6 / took];
  const [first, second] = [mean(held.slice(0, parts / 2)), mean(held.slice(parts / 2))];
  const looks = server.feeds.figures.looks - looksBefore;
  await sleep(1000);
  child.send("stop");
  await intercom.close();
  const { told, missing } = await heard<{ told: [number, number][]; missing: number }>(child, "told");
  const latencies = told
    .filter(([index]) => index >= from)
    .map(([index, time]) => time - acknowledged.get(index)!)
    .sort((a, b) => a - b);
  const at = (part: number) => latencies[Math.floor((latencies.length - 1) * part)]!;

  print(`${watchers} watchers of a run with ${rate.toFixed(0)} changes/s for ${took.toFixed(0)} s`);
  print(`     ${cpu.toFixed(2)} cores of the process`);
  print(`     after the commit was acknowledged: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms`);
  check(rate >= changesPerSecond * 0.9, `${rate.toFixed(0)} changes/s of ${changesPerSecond}`);
  check(missing === 0, `${missing} of ${watchers * idx} records were not told`);
  check(at(0.95) < mostLatencyMs, `95 of 100 are told within ${at(0.95)} ms`);
  check(
    looks <= commits,
    `${looks} queries for ${commits} commits of ${idx - from} changes and ${watchers} watchers`,
  );
  check(
    second - first < mostGrowthMegabytes,
    `memory: ${first.toFixed(0)} MB held in the first half, ${second.toFixed(0)} MB in the second`,
  );
  print(`     after each part: ${held.map((megabytes) => megabytes.toFixed(0)).join(", ")} MB`);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Watches as often as asked for; then tells when the sampled watchers were told of each record. */
async function watchAll(origin: string, flowExecutionId: string, watchers: number): Promise<void> {
  const stop = new AbortController();
  const told: [number, number][] = [];
  const counts = Array<number>(watchers).fill(0);
  let synced = 0;
  let most = 0;
  const isSynced = () => {
    if (++synced === watchers) process.send?.({ synced: true });
  };
  const subjectOf = (index: number) => `watcher-${Math.floor(index / streamsPerConnection)}`;
  const read = async (index: number) => {
    const subject = subjectOf(index);
    const stream = clientFor(subject).watchTaskExecutions(
      { flowExecutionId },
      { signal: stop.signal, headers: { authorization: `Bearer ${subject}` } },
    );
    try {
      for await (const { content } of stream) {
        if (content.case === "synced") isSynced();
        if (content.case !== "changes" && content.case !== "snapshot") continue;
        const time = Date.now();
        counts[index]! += content.value.taskExecutions.length;
        for (const { change } of content.value.taskExecutions) {
          if (change.case !== "taskExecution") continue;
          most = Math.max(most, change.value.taskExecutionIdx + 1);
          told.push([change.value.taskExecutionIdx, time]);
        }
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
  };
  const clients = new Map<string, ReturnType<typeof createClient<typeof TaskExecutionService>>>();
  function clientFor(subject: string) {
    const client =
      clients.get(subject) ?? createClient(TaskExecutionService, createGrpcTransport({ baseUrl: origin }));
    clients.set(subject, client);
    return client;
  }
  const sessions = new Map<string, ReturnType<typeof connectForRaw>>();
  const count = (index: number) => {
    const subject = subjectOf(index);
    const session = sessions.get(subject) ?? connectForRaw(origin);
    sessions.set(subject, session);
    const onRecords = (records: number) => {
      counts[index]! += records;
    };
    return watchRaw(session, {
      flowExecutionId,
      subject,
      onSynced: isSynced,
      onRecords,
      signal: stop.signal,
    });
  };
  const followed = Promise.all(
    Array.from({ length: watchers }, (_, index) => (index % sampled === 0 ? read(index) : count(index))),
  );
  await Promise.race([once(process, "message"), followed]);
  stop.abort();
  await followed;
  for (const session of sessions.values()) session.destroy();
  const missing = counts.reduce((sum, count) => sum + most - count, 0);
  await new Promise((resolve) => process.send?.({ told: { told, missing } }, resolve));
  process.disconnect();
}

/** Waits for a message of the child that has a property, and returns that. */
async function heard<T>(child: ChildProcess, name: string): Promise<T> {
  for (;;) {
    const [message] = await Promise.race([
      once(child, "message"),
      once(child, "exit").then(() => Promise.reject(new Error("the watchers ended"))),
    ]);
    if (name in message) {
      return message[name];
    }
  }
}
