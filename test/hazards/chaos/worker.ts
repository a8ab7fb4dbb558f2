/**
 * A worker without a library, that does what the tasks of chaos flows ask, and writes down what it is told. It is killed and paused
 * by whoever started it.
 *
 * Usage: node worker.ts JSON, see WorkerOptions
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fromJson, type JsonObject, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { anyUnpack, durationFromMs, ValueSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import {
  type ClaimedTaskExecution,
  type ClaimTaskExecutionsRequestSchema,
  HeartbeatTaskExecutionsResponse_State as State,
  type TaskReportSchema,
  WorkerService,
} from "../../../gen/taskledger/v1/worker_service_pb.ts";
import { seededRandom } from "../../server/header-fuzz.ts";
import { createCaller, openHistory } from "./history.ts";
import { completionOf, type WorkerOptions } from "./worker-options.ts";

const options: WorkerOptions = JSON.parse(process.argv[2]!);
const { name, executor, concurrency } = options;
const random = seededRandom(options.seed);
const record = openHistory(options.historyDir, name);
const clients = options.origins.map((baseUrl) =>
  createClient(
    WorkerService,
    createGrpcTransport({
      baseUrl,
      interceptors: [
        (next) => (req) => {
          req.header.set("authorization", `Bearer ${options.key}`);
          return next(req);
        },
      ],
    }),
  ),
);
const call = createCaller(clients, record, random);

interface Held {
  readonly id: string;
  readonly token: bigint;
  readonly input: JsonObject;
  readonly failures: number;
  isLost: boolean;
}
const held = new Map<string, Held>();
let requests = 0;
let freed = Promise.withResolvers<void>();

function claimFor(max: number): MessageInitShape<typeof ClaimTaskExecutionsRequestSchema> {
  const requestId = `${name}-${requests++}`;
  return {
    executors: [executor],
    maxTaskExecutions: max,
    workerId: name,
    requestId,
    wait: durationFromMs(1000),
  };
}

function take(claimed: readonly ClaimedTaskExecution[], requestId: string): void {
  for (const { taskExecution, token } of claimed) {
    const task = taskExecution!;
    record({
      kind: "claimed",
      worker: name,
      run: task.flowExecutionId,
      id: task.id,
      task: task.taskName,
      iteration: task.iteration,
      token: String(token),
      requestId,
    });
    const input = toJson(ValueSchema, task.input!) as JsonObject;
    const one = { id: task.id, token, input, failures: task.attempt - 1 - task.interruptions, isLost: false };
    held.set(`${task.id}/${token}`, one);
    void work(one);
  }
}

/** Does one task and hands in its result, until a server has answered. A paused worker does so too late. */
async function work(task: Held): Promise<void> {
  const { ms, fails, items } = task.input as { ms: number; fails: number; items: number };
  await sleep(ms);
  const result = task.failures < fails ? failure() : completion(task, items);
  const report = { id: task.id, token: task.token, result };
  // Half of the reports come with the next claim, so that both ways are gone.
  const claim = random() < 0.5 ? claimFor(1) : undefined;
  const answer = await call("ReportTaskExecutions", (client) =>
    client.reportTaskExecutions({ reports: [report], ...(claim && { claim }) }, { timeoutMs: 3000 }),
  );
  const first = answer.results[0]!.result;
  const refused =
    first.case === "error" && first.value.details.map((any) => anyUnpack(any, ErrorInfoSchema)).find(Boolean);
  record({
    kind: "reported",
    worker: name,
    id: task.id,
    token: String(task.token),
    result: result.case,
    answer: refused ? refused.reason.replace("ERROR_REASON_", "") : "taken",
  });
  held.delete(`${task.id}/${task.token}`);
  take(answer.claimed, claim?.requestId ?? "");
  freed.resolve();
  freed = Promise.withResolvers();
}

type Result = Extract<
  NonNullable<MessageInitShape<typeof TaskReportSchema>["result"]>,
  { case: "completed" | "failed" }
>;

function failure(): Result {
  return { case: "failed", value: { error: { type: "Planned", message: "as its input asked" } } };
}

function completion({ token, input }: Held, items: number): Result {
  return {
    case: "completed",
    value: { output: fromJson(ValueSchema, completionOf(name, token, input, items)) },
  };
}

async function beat(): Promise<void> {
  for (;;) {
    await sleep(options.beatMs * (0.8 + 0.4 * random()));
    const beats = [...held.values()].filter(({ isLost }) => !isLost);
    if (beats.length === 0) continue;
    const heartbeats = beats.map(({ id, token }) => ({ id, token }));
    const { results } = await call("HeartbeatTaskExecutions", (client) =>
      client.heartbeatTaskExecutions({ heartbeats }, { timeoutMs: 1000 }),
    );
    for (const [index, { state }] of results.entries()) {
      const { id, token } = beats[index]!;
      // It works on: that its result is refused is what is to be shown.
      beats[index]!.isLost = state === State.LOST;
      record({ kind: state === State.LOST ? "lost" : "kept", worker: name, id, token: String(token) });
    }
  }
}

async function claim(): Promise<void> {
  for (;;) {
    const free = concurrency - held.size;
    if (free <= 0) {
      await freed.promise;
      continue;
    }
    const request = claimFor(free);
    const { claimed } = await call("ClaimTaskExecutions", (client) =>
      client.claimTaskExecutions(request, { timeoutMs: 3000 }),
    );
    take(claimed, request.requestId!);
  }
}

// Whoever started it is gone: so is its work.
process.stdin.on("end", () => process.exit()).resume();
process.stdout.write("working\n");
await Promise.all([claim(), beat()]);
