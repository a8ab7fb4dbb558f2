import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fromJson, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import {
  FlowExecution_Status as RunStatus,
  FlowExecution_StatusSchema as RunStatusSchema,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { ReExecuteFlowExecutionRequest_Scope as Scope } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { TaskExecution } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { type Ledger, provideFlow, startRun } from "../client/ledger.ts";
import { Worker } from "../worker/worker.ts";
import { demoDefinition, demoExecutors, demoName, rates } from "./demo-flow.ts";
import { narrate } from "./narrate.ts";

/** How often is looked whether the run has ended. */
const lookMs = 50;
/** How long it may take to end: it takes two seconds. */
const patienceMs = 60_000;

/**
 * Shows what the service does, as it happens: a run with a fan-out and a retry, a correction, what becomes stale by
 * it, and the execution of just that.
 *
 * @throws Error if something is not as it should be
 */
export async function demo(ledger: Ledger, print: (line: string) => void): Promise<void> {
  const { transport, runs, tasks } = ledger;
  const flow = await provideFlow(ledger, demoName, demoDefinition);
  const { id, runNumber } = await startRun(ledger, flow, null);
  print(`Run ${runNumber} of "${flow.name}": ${id}`);
  const workers = ["worker 1", "worker 2"].map(
    (workerId) =>
      new Worker({
        transport,
        executors: demoExecutors,
        concurrency: 2,
        workerId: `demo ${workerId}`,
        onEvent: narrate(id, workerId, print),
      }),
  );
  try {
    print("\nTwo workers do the tasks. One order fails at first, and is tried again:");
    await untilEnded(ledger, id, RunStatus.COMPLETED);
    const before = await outputOf(ledger, id, "write_report", 0);
    print(`  the report says: ${before}`);

    print(`\nThe rate was wrong. Somebody corrects the output of get_rate: ${rates.found} -> ${rates.right}`);
    const rate = await find(ledger, id, "get_rate", 0);
    const { outdated } = await tasks.updateTaskExecution({
      id: rate.id,
      etag: rate.etag,
      updateMask: { paths: ["output"] },
      output: fromJson(ValueSchema, { rate: rates.right }),
      reason: "the rate of another day",
    });
    for (const { taskName } of outdated) print(`  ${taskName} is stale`);
    print("  the orders, and their count, are as good as before");

    const { taskNames } = await runs.reExecuteFlowExecution({
      id,
      scope: Scope.STALE,
      requestId: randomUUID(),
      reason: "the rate was corrected",
    });
    print(`\nWhat is stale is executed anew, and nothing else: ${taskNames.join(", ")}`);
    await untilEnded(ledger, id, RunStatus.COMPLETED);
    const after = await outputOf(ledger, id, "write_report", 1);
    print(`  the report says: ${after}`);
    expectSame(
      taskNames,
      outdated.map(({ taskName }) => taskName),
    );
    await summarize(ledger, id, print);
  } finally {
    await Promise.all(workers.map((worker) => worker.stop(0)));
  }
}

async function untilEnded({ runs }: Ledger, id: string, want: RunStatus): Promise<void> {
  const open = new Set<RunStatus>([RunStatus.QUEUED, RunStatus.RUNNING]);
  const giveUp = performance.now() + patienceMs;
  for (;;) {
    const { flowExecution } = await runs.getFlowExecution({ id });
    const { status } = flowExecution!;
    if (!open.has(status)) {
      if (status === want) return;
      throw new Error(`the run ended as ${RunStatusSchema.value[status]?.name}`);
    }
    if (performance.now() > giveUp) throw new Error("the run does not end");
    await sleep(lookMs);
  }
}

async function find(
  { tasks }: Ledger,
  flowExecutionId: string,
  taskName: string,
  taskExecutionIdx: number,
): Promise<TaskExecution> {
  const value = { flowExecutionId, taskName, taskExecutionIdx };
  return (await tasks.getTaskExecution({ lookup: { case: "key", value } })).taskExecution!;
}

async function outputOf(ledger: Ledger, id: string, taskName: string, idx: number): Promise<string> {
  const { output } = await find(ledger, id, taskName, idx);
  return output ? String(toJson(ValueSchema, output)) : "nothing";
}

function expectSame(executed: readonly string[], stale: readonly string[]): void {
  if ([...executed].sort().join() !== [...stale].sort().join()) {
    throw new Error(`stale were ${stale.join(", ")}, executed ${executed.join(", ")}`);
  }
}

async function summarize({ runs }: Ledger, id: string, print: (line: string) => void): Promise<void> {
  const { tasks, total } = await runs.getFlowExecutionSummary({ id });
  print("\nThe record keeps all of it:");
  for (const { taskName, counts } of tasks) {
    const { completed, failed, stale } = counts!;
    const parts = [`${completed} completed`, failed && `${failed} failed`, stale && `${stale} stale`];
    print(`  ${taskName.padEnd(14)}${parts.filter(Boolean).join(", ")}`);
  }
  const { completed, failed, stale } = total!;
  print(
    `${completed + failed + stale} task executions: ${completed} completed, ${failed} failed, ${stale} stale.`,
  );
}
