import { randomUUID } from "node:crypto";
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "vitest";
import {
  FlowExecution_Dispatch as Dispatch,
  FlowExecution_Status as FlowStatus,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import {
  TaskExecution_Status as Status,
  type TaskExecution,
} from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { WorkerEvent } from "../../src/worker/events.ts";
import type { WorkerOptions } from "../../src/worker/options.ts";
import { Worker } from "../../src/worker/worker.ts";
import { nameIn } from "../client.ts";
import { signIn, type TestService } from "../service.ts";

/** A managed run on a real service. */
export interface RunOnService {
  readonly id: string;
  get(taskName: string, idx?: number): Promise<TaskExecution>;
  /** Returns what a task gave. */
  output(taskName: string, idx?: number): Promise<JsonValue | undefined>;
  /** Waits until the run has ended, and returns its status. */
  ended(): Promise<string>;
  /** Returns `name/idx STATUS` of each record, by name and idx. */
  tasks(): Promise<string[]>;
}

/** Starts a managed run of a flow of its own. */
export async function startRun(
  service: TestService,
  tasks: string,
  input?: JsonValue,
): Promise<RunOnService> {
  const flows = service.client(FlowService);
  const { flow } = await flows.createFlow({ definition: `name: ${randomUUID()}\ntasks: ${tasks}` });
  const { flowExecution } = await service.client(FlowExecutionService).createFlowExecution({
    flowId: flow!.id,
    requestId: randomUUID(),
    dispatch: Dispatch.MANAGED,
    ...(input !== undefined && { input: fromJson(ValueSchema, input) }),
  });
  return runAt(service, flowExecution!.id);
}

/** Returns a run as a service sees it. */
export function runAt(service: TestService, id: string): RunOnService {
  const runs = service.client(FlowExecutionService);
  const records = service.client(TaskExecutionService);
  const get = async (taskName: string, idx = 0) => {
    const value = { flowExecutionId: id, taskName, taskExecutionIdx: idx };
    return (await records.getTaskExecution({ lookup: { case: "key", value } })).taskExecution!;
  };
  return {
    id,
    get,
    async output(taskName, idx = 0) {
      const { output } = await get(taskName, idx);
      return output && toJson(ValueSchema, output);
    },
    async ended() {
      let status = "";
      const look = async () => {
        status = nameIn(FlowStatus, (await runs.getFlowExecution({ id })).flowExecution!.status)!;
        return status;
      };
      await expect.poll(look, { timeout: 15_000, interval: 20 }).not.toMatch(/QUEUED|RUNNING/);
      return status;
    },
    async tasks() {
      const { taskExecutions } = await records.listTaskExecutions({ flowExecutionId: id, pageSize: 1000 });
      return taskExecutions
        .map((task) => `${task.taskName}/${task.taskExecutionIdx} ${nameIn(Status, task.status)}`)
        .sort();
    },
  };
}

/** A worker, and what has happened in it. */
export interface WatchedWorker extends AsyncDisposable {
  readonly worker: Worker;
  readonly events: WorkerEvent[];
  count(type: WorkerEvent["type"]): number;
}

/** Starts a worker of a service; it stops when it is disposed of. */
export function startWorker(
  transport: Transport,
  executors: WorkerOptions["executors"],
  more: Partial<WorkerOptions> = {},
): WatchedWorker {
  const events: WorkerEvent[] = [];
  const worker = new Worker({ transport, executors, onEvent: (event) => events.push(event), ...more });
  return {
    worker,
    events,
    count: (type) => events.filter((event) => event.type === type).length,
    [Symbol.asyncDispose]: () => worker.stop(0),
  };
}

/** Reaches a service by way of an interceptor. */
export function transportThrough(service: TestService, interceptor: Interceptor): Transport {
  return createGrpcTransport({ baseUrl: service.origin, interceptors: [interceptor, signIn()] });
}
