import { randomUUID } from "node:crypto";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { TaskExecution_Status as TaskStatus } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { Worker } from "../../src/worker/worker.ts";
import type { TestService } from "../service.ts";
import { demoExecutors, reportFlow } from "./demo.ts";

/** An organization that has been at work, and what can be seen there. */
export interface Demo extends AsyncDisposable {
  readonly flowId: string;
  readonly completedRunId: string;
  readonly failedRunId: string;
  readonly staleRunId: string;
  readonly failedTaskId: string;
  /** Has others that were made from it. */
  readonly completedTaskId: string;
}

/** Plays some runs, the last of which stays running. */
export async function prepareDemo(service: TestService): Promise<Demo> {
  const flows = service.client(FlowService);
  const runs = service.client(FlowExecutionService);
  const tasks = service.client(TaskExecutionService);
  const first = await flows.createFlow({
    definition: reportFlow
      .replace("  - name: archive\n    depends_on: [price]\n", "")
      .replace("depends_on: [archive]", "depends_on: [price]"),
  });
  const { flow } = await flows.updateFlow({
    id: first.flow!.id,
    etag: first.flow!.etag,
    definition: reportFlow,
  });
  await flows.createFlow({
    definition:
      "name: cleanup\ndescription: Removes what nobody asked for in 30 days.\ntasks:\n- name: find\n- name: remove\n  depends_on: [find]\n",
  });

  let failing = false;
  let holding = false;
  const held = Promise.withResolvers<void>();
  const worker = new Worker({
    transport: service.transport,
    workerId: "worker-7f9c",
    executors: demoExecutors({
      paceMs: 110,
      fails: ({ name }) => failing && name === "price",
      gate: ({ name, iteration }) =>
        holding && ((name === "enrich" && iteration !== 0) || name === "validate") ? held.promise : undefined,
    }),
  });

  async function start(day: string): Promise<string> {
    const { flowExecution } = await runs.createFlowExecution({
      flowId: flow!.id,
      requestId: randomUUID(),
      dispatch: Dispatch.MANAGED,
      labels: { trigger: "schedule" },
      input: fromJson(ValueSchema, { day, region: "emea" }),
    });
    return flowExecution!.id;
  }

  async function play(day: string): Promise<string> {
    const id = await start(day);
    await runs.waitFlowExecution({ id });
    return id;
  }

  async function newestOf(flowExecutionId: string, taskName: string) {
    const found = await tasks.listTaskExecutions({ flowExecutionId, taskName });
    return found.taskExecutions[0]!;
  }

  const completedRunId = await play("2026-11-20");
  await play("2026-11-21");
  const staleRunId = await play("2026-11-22");
  const rates = await newestOf(staleRunId, "exchange-rates");
  await tasks.updateTaskExecution({
    id: rates.id,
    etag: rates.etag,
    updateMask: { paths: ["output"] },
    output: fromJson(ValueSchema, { USD: 1.0902, GBP: 0.8412, JPY: 171.35 }),
    reason: "The bank corrected the rate of the dollar",
  });
  failing = true;
  const failedRunId = await play("2026-11-23");
  failing = false;
  const cancelled = await start("2026-11-24");
  await runs.cancelFlowExecution({ id: cancelled, reason: "Started for the wrong day" });
  const failedTask = await newestOf(failedRunId, "price");
  await tasks.updateTaskTags({
    operations: [
      { action: 1, id: failedTask.id, tag: "owner:pricing" },
      { action: 1, id: failedTask.id, tag: "seen" },
    ],
  });
  const completedTask = await newestOf(completedRunId, "extract");
  await runs.waitFlowExecution({ id: cancelled });
  holding = true;
  const running = await start("2026-11-25");
  for await (const { content } of tasks.watchTaskExecutions({
    flowExecutionId: running,
    taskName: "enrich",
    statuses: [TaskStatus.COMPLETED],
  })) {
    if (
      (content.case === "changes" || content.case === "snapshot") &&
      content.value.taskExecutions.length > 0
    ) {
      break;
    }
  }
  return {
    flowId: flow!.id,
    completedRunId,
    failedRunId,
    staleRunId,
    failedTaskId: failedTask.id,
    completedTaskId: completedTask.id,
    async [Symbol.asyncDispose]() {
      held.resolve();
      await worker.stop(1000);
    },
  };
}
