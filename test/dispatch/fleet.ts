import { randomUUID } from "node:crypto";
import { fromJson, type JsonValue, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { anyUnpack, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import {
  FlowExecution_Dispatch as Dispatch,
  FlowExecution_Status as FlowStatus,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import {
  type TaskExecution,
  TaskExecution_Status as TaskStatus,
} from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { View } from "../../gen/taskledger/v1/view_pb.ts";
import {
  type ClaimedTaskExecution,
  type TaskReportSchema,
  WorkerService,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import { callerFrom, clientOf, nameIn } from "../client.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";

/** A task that a test holds. */
export interface Held {
  readonly id: string;
  readonly token: bigint;
  readonly name: string;
  readonly idx: number;
  readonly attempt: number;
  readonly iteration: number | undefined;
  readonly input: JsonValue | undefined;
  readonly message: ClaimedTaskExecution;
}

type Result = NonNullable<MessageInitShape<typeof TaskReportSchema>["result"]>;

/** A managed run. */
export interface ManagedRun {
  readonly id: string;
  readonly flowId: string;
  status(): Promise<string>;
  /** Returns a record with its payloads. */
  get(taskName: string, idx?: number): Promise<TaskExecution>;
  /** Returns `name/idx status` of each record, by name and idx. */
  tasks(): Promise<string[]>;
}

/** One organization, with clients of its services. */
export interface Fleet {
  readonly database: TestDatabase;
  readonly organizationId: string;
  readonly client: Client<typeof WorkerService>;
  readonly tasks: Client<typeof TaskExecutionService>;
  readonly runs: Client<typeof FlowExecutionService>;
  readonly flows: Client<typeof FlowService>;
  start(definition: string, input?: JsonValue, more?: { priority?: number }): Promise<ManagedRun>;
  claim(executors: string[], max?: number, requestId?: string): Promise<Held[]>;
  /** Claims a task of an executor that has one. */
  claimOne(executor: string): Promise<Held>;
  /** Returns the outcome, or the reason of the refusal. */
  report(task: Pick<Held, "id" | "token">, result: Result): Promise<string>;
  complete(task: Pick<Held, "id" | "token">, output?: JsonValue): Promise<string>;
  fail(task: Pick<Held, "id" | "token">, type: string): Promise<string>;
  close(): Promise<void>;
}

/** Opens a database with one organization, and plays its workers. */
export async function openFleet(opened?: TestDatabase): Promise<Fleet> {
  const database = opened ?? (await openDatabase());
  const organizationId = await givenOrganization(database.orm);
  const caller = callerFrom(organizationId);
  const client = clientOf(WorkerService, database, caller);
  const tasks = clientOf(TaskExecutionService, database, caller);
  const runs = clientOf(FlowExecutionService, database, caller);
  const flows = clientOf(FlowService, database, caller);

  async function report(task: Pick<Held, "id" | "token">, result: Result): Promise<string> {
    const { results } = await client.reportTaskExecutions({
      reports: [{ id: task.id, token: task.token, result }],
    });
    const answer = results[0]!.result;
    if (answer.case === "accepted") return nameIn(Outcome, answer.value.outcome)!;
    const info = answer.value!.details.map((any) => anyUnpack(any, ErrorInfoSchema)).find(Boolean);
    return info!.reason.replace("ERROR_REASON_", "");
  }

  async function claim(executors: string[], max = 1, requestId: string = randomUUID()): Promise<Held[]> {
    const { claimed } = await client.claimTaskExecutions({
      executors,
      maxTaskExecutions: max,
      workerId: "test",
      requestId,
    });
    return claimed.map(toHeld);
  }

  return {
    database,
    organizationId,
    client,
    tasks,
    runs,
    flows,
    async start(definition, input, more = {}) {
      const { flow } = await flows.createFlow({ definition: `name: ${randomUUID()}${dedent(definition)}` });
      const { flowExecution } = await runs.createFlowExecution({
        flowId: flow!.id,
        requestId: randomUUID(),
        dispatch: Dispatch.MANAGED,
        ...more,
        ...(input !== undefined && { input: fromJson(ValueSchema, input) }),
      });
      const { id } = flowExecution!;
      return {
        id,
        flowId: flow!.id,
        async status() {
          const found = await runs.getFlowExecution({ id });
          return nameIn(FlowStatus, found.flowExecution!.status)!;
        },
        async get(taskName, idx = 0) {
          const key = { flowExecutionId: id, taskName, taskExecutionIdx: idx };
          return (await tasks.getTaskExecution({ lookup: { case: "key", value: key } })).taskExecution!;
        },
        async tasks() {
          const { taskExecutions } = await tasks.listTaskExecutions({
            flowExecutionId: id,
            pageSize: 1000,
            view: View.BASIC,
          });
          return taskExecutions
            .map((task) => `${task.taskName}/${task.taskExecutionIdx} ${nameIn(TaskStatus, task.status)}`)
            .sort();
        },
      };
    },
    claim,
    claimOne: async (executor) => (await claim([executor]))[0]!,
    report,
    complete: (task, output) =>
      report(task, {
        case: "completed",
        value: output === undefined ? {} : { output: fromJson(ValueSchema, output) },
      }),
    fail: (task, type) => report(task, { case: "failed", value: { error: { type, message: "failed" } } }),
    close: () => database.close(),
  };
}

function toHeld(message: ClaimedTaskExecution): Held {
  const task = message.taskExecution!;
  return {
    id: task.id,
    token: message.token,
    name: task.taskName,
    idx: task.taskExecutionIdx,
    attempt: task.attempt,
    iteration: task.iteration,
    input: jsonOf(task.input),
    message,
  };
}

/** Returns a payload as JSON. */
export function jsonOf(value: Value | undefined): JsonValue | undefined {
  return value && toJson(ValueSchema, value);
}

function dedent(text: string): string {
  const indent = /^\n( *)/.exec(text)?.[1]?.length ?? 0;
  return text.replaceAll(new RegExp(`\n {${indent}}`, "g"), "\n");
}
