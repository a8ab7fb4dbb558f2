/**
 * Lets 200 clients watch a run in full and never read, while 200 MB change; then drops a thousand watches at once. What
 * the server holds for them stays bounded, another watcher is told as soon as before, and all of them are let go. They
 * live in a process of their own, so that what they hold is not counted as the server's.
 *
 * Usage: node test/hazards/watch-slow-readers.ts [clients = 200]
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { create, fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskExecutionService,
  WatchTaskExecutionsRequestSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { View } from "../../gen/taskledger/v1/view_pb.ts";
import { callerFrom } from "../client.ts";
import { givenOrganization } from "../database.ts";
import { givenRun } from "../runs.ts";
import { openRawWatch } from "../watch/raw-watcher.ts";
import { startWatchServer } from "../watch/watch-server.ts";
import { startScriptDatabase } from "./ledger.ts";
import { heldMegabytes } from "./memory.ts";
import { check, print } from "./report.ts";

const changes = 1000;
const dropped = 1000;
const payload = fromJson(ValueSchema, "x".repeat(200_000));
/** What a watcher is promised. Changes are told less often to more streams, which alone adds 0.1 ms for each. */
const mostLatencyMs = 150;
const streamsPerConnection = 100;
const mostSecondsSlow = 65;

if (process.argv[2] === "hold") {
  await holdWatches(process.argv[3]!, process.argv[4]!, Number(process.argv[5]), process.argv[6]!);
} else {
  await measureServer(Number(process.argv[2] ?? 200));
}

async function measureServer(clients: number): Promise<void> {
  const mostHeldMegabytes = (clients * 256) / 1024 + 20;
  await using database = await startScriptDatabase();
  const organizationId = await givenOrganization(database.orm);
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["task", "never"]);
  await using server = await startWatchServer(database.orm, {
    authenticate: async (subject) => callerFrom(organizationId, { subject }),
    limits: { maxStreamsInFlight: 2000 },
  });
  const tasks = server.client(TaskExecutionService);
  const told = new Map<number, () => void>();
  const stop = new AbortController();
  const synced = Promise.withResolvers<void>();
  const watching = (async () => {
    for await (const { content } of tasks.watchTaskExecutions({ flowExecutionId }, { signal: stop.signal })) {
      if (content.case === "synced") synced.resolve();
      if (content.case !== "changes") continue;
      for (const { change } of content.value.taskExecutions) {
        if (change.case === "taskExecution") told.get(change.value.taskExecutionIdx)?.();
      }
    }
  })().catch((error) => {
    if (!stop.signal.aborted) throw error;
  });

  let idx = 0;
  /** Changes a record, and returns how long it takes until the watcher that reads is told. */
  const change = async () => {
    const taskExecutionIdx = idx++;
    const heard = new Promise<void>((resolve) => told.set(taskExecutionIdx, resolve));
    const report = { flowExecutionId, taskName: "task", taskExecutionIdx, status: Status.COMPLETED };
    await tasks.createTaskExecution({ ...report, output: payload });
    const committed = performance.now();
    await heard;
    return performance.now() - committed;
  };
  const measure = async (count: number) => {
    const delays: number[] = [];
    for (let round = 0; round < count; round++) delays.push(await change());
    return delays.sort((a, b) => a - b)[Math.floor(count * 0.99)]!;
  };
  const hold = (count: number, name: string) =>
    fork(import.meta.filename, ["hold", server.origin, flowExecutionId, String(count), name]);
  const untilStreams = async (count: number, mostSeconds: number) => {
    const begin = performance.now();
    while (server.feeds.figures.streams !== count && performance.now() - begin < mostSeconds * 1000)
      await sleep(20);
    return (performance.now() - begin) / 1000;
  };

  await synced.promise;
  const before = await measure(changes / 4);
  print(`     another watcher is told within ${before.toFixed(0)} ms in 99 of 100 cases without them`);
  const heldBefore = heldMegabytes();

  const slow = hold(clients, "slow");
  await untilStreams(clients + 1, 30);
  const streams = server.feeds.figures.streams;
  check(streams === clients + 1, `${streams - 1} clients that never read, ${changes} changes of 0.2 MB`);
  const during = await measure(changes);
  const growth = heldMegabytes() - heldBefore;
  check(during < mostLatencyMs, `and within ${during.toFixed(0)} ms with them`);
  check(
    growth < mostHeldMegabytes,
    `${growth.toFixed(0)} MB held for them, of ${mostHeldMegabytes.toFixed(0)}`,
  );
  const secondsSlow = await untilStreams(1, mostSecondsSlow);
  check(
    secondsSlow < mostSecondsSlow,
    `the last of them is let go ${secondsSlow.toFixed(0)} s after the last change`,
  );
  await end(slow);

  const many = hold(dropped, "dropped");
  await untilStreams(dropped + 1, 30);
  const dropping = server.feeds.figures.streams - 1;
  many.send("drop");
  const secondsDropped = await untilStreams(1, 10);
  await end(many);
  check(
    dropping === dropped && secondsDropped < 1,
    `${dropping} dropped watches are let go in ${secondsDropped.toFixed(2)} s`,
  );
  stop.abort();
  await watching;
}

/** Ends a process that holds watches. */
async function end(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.disconnect();
  await ended;
}

/**
 * Opens watches whose answers nobody reads, until the parent goes away. When it says so, drops them before that: one half
 * by resetting each stream, the other with their connections.
 */
async function holdWatches(
  origin: string,
  flowExecutionId: string,
  count: number,
  name: string,
): Promise<void> {
  const request = create(WatchTaskExecutionsRequestSchema, {
    flowExecutionId,
    view: View.FULL,
    changesOnly: true,
  });
  const sessions = Array.from({ length: Math.ceil(count / streamsPerConnection) }, () => connect(origin));
  for (const session of sessions) session.on("error", () => {});
  const streams = Array.from({ length: count }, (_, index) => {
    const connection = Math.floor(index / streamsPerConnection);
    const stream = openRawWatch(sessions[connection]!, `${name}-${connection}`, request);
    stream.on("error", () => {});
    return stream;
  });
  process.once("message", () => {
    const half = Math.floor(sessions.length / 2);
    for (const stream of streams.slice(0, half * streamsPerConnection)) stream.close(8);
    for (const session of sessions.slice(half)) session.destroy();
  });
  await once(process, "disconnect");
  for (const session of sessions) session.destroy();
}
