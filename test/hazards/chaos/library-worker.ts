/**
 * A worker like worker.ts, made with the library of workers.
 *
 * Usage: node library-worker.ts JSON, see WorkerOptions
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { connect } from "../../../src/worker/connect.ts";
import { type Task, TaskFailure } from "../../../src/worker/task.ts";
import { Worker } from "../../../src/worker/worker.ts";
import { openHistory, toSaid } from "./history.ts";
import { completionOf, type WorkerOptions } from "./worker-options.ts";

const options: WorkerOptions = JSON.parse(process.argv[2]!);
const { name, executor, concurrency, key } = options;
const record = openHistory(options.historyDir, name);

/** Reaches several servers: when one does not answer, the next call goes to the next one. */
function failOver(transports: readonly Transport[], first: number): Transport {
  let current = first;
  return {
    async unary(method, ...args) {
      try {
        return await transports[current % transports.length]!.unary(method, ...args);
      } catch (thrown) {
        current++;
        record({ kind: "error", method: method.name, ...toSaid(ConnectError.from(thrown)) });
        throw thrown;
      }
    },
    stream: (...args) => transports[current % transports.length]!.stream(...args),
  };
}

/** Works on when its lease is lost: that the result is refused is what is to be shown. */
async function work({ input, attempt, token }: Task): Promise<unknown> {
  const { ms, fails, items } = input as { ms: number; fails: number; items: number };
  await sleep(ms);
  if (attempt <= fails) throw new TaskFailure("as its input asked", { type: "Planned" });
  return completionOf(name, token, input, items);
}

new Worker({
  transport: failOver(
    options.origins.map((origin) => connect(origin, key)),
    options.seed,
  ),
  executors: { [executor]: work },
  concurrency,
  workerId: name,
  waitMs: 1000,
  onEvent(event) {
    const of = ({ id, token }: Task) => ({ worker: name, id, token: String(token) });
    switch (event.type) {
      case "claimed":
        for (const task of event.tasks) {
          const { flowExecutionId: run, name: taskName, iteration } = task;
          record({ kind: "claimed", ...of(task), run, task: taskName, iteration, requestId: "" });
        }
        break;
      case "reported":
        record({
          kind: "reported",
          ...of(event.task),
          result: event.end === "completed" ? "completed" : "failed",
          answer: "taken",
        });
        break;
      case "refused": {
        const answer = event.message.startsWith("the lease of this task execution is lost")
          ? "LEASE_LOST"
          : event.message;
        record({ kind: "reported", ...of(event.task), result: "completed", answer });
        break;
      }
      case "lost":
        record({ kind: "lost", ...of(event.task) });
        break;
    }
  },
});
// Whoever started it is gone: so is its work.
process.stdin.on("end", () => process.exit()).resume();
process.stdout.write("working\n");
