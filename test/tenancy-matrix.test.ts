import { randomUUID } from "node:crypto";
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ApiKey_Kind as Kind, ApiKey_Role as Role } from "../gen/taskledger/v1/api_key_pb.ts";
import { ApiKeyService } from "../gen/taskledger/v1/api_key_service_pb.ts";
import { FlowExecution_Dispatch as Dispatch } from "../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../gen/taskledger/v1/flow_service_pb.ts";
import { TaskExecution_Status as Status } from "../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskTagOperation_Action as Action,
  TaskExecutionService,
} from "../gen/taskledger/v1/task_execution_service_pb.ts";
import { WorkerService } from "../gen/taskledger/v1/worker_service_pb.ts";
import { services } from "../src/app.ts";
import type { Caller } from "../src/auth/caller.ts";
import { callerFrom, clientOf } from "./client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "./database.ts";
import { givenRun } from "./runs.ts";

/** What one organization has: an id of each kind. */
interface Ids {
  readonly task: string;
  /** A task that a worker holds. */
  readonly held: string;
  readonly run: string;
  readonly flow: string;
  readonly key: string;
}

/** A request with an id in the field of the case, and of which kind that id is. */
type Case = readonly [kind: keyof Ids, request: (id: string) => object];

const report = { taskName: "task", taskExecutionIdx: 7, status: Status.QUEUED };
const definition = "name: x\ntasks:\n- name: task\n";

/** One case for each field of each request that names something by its id. */
const cases: Record<string, Case> = {
  "CreateTaskExecution flow_execution_id": ["run", (id) => ({ ...report, flowExecutionId: id })],
  "BatchCreateTaskExecutions requests.flow_execution_id": [
    "run",
    (id) => ({ requests: [{ ...report, flowExecutionId: id }] }),
  ],
  "GetTaskExecution id": ["task", (id) => ({ lookup: { case: "id", value: id } })],
  "GetTaskExecution key.flow_execution_id": [
    "run",
    (id) => ({ lookup: { case: "key", value: { flowExecutionId: id, taskName: "task" } } }),
  ],
  "IngestTaskExecutions request.flow_execution_id": [
    "run",
    (id) => ({ sequenceNumber: 1n, request: { ...report, taskExecutionIdx: 8, flowExecutionId: id } }),
  ],
  "BatchGetTaskExecutions requests.id": [
    "task",
    (id) => ({ requests: [{ lookup: { case: "id", value: id } }] }),
  ],
  "BatchGetTaskExecutions requests.key.flow_execution_id": [
    "run",
    (id) => ({ requests: [{ lookup: { case: "key", value: { flowExecutionId: id, taskName: "task" } } }] }),
  ],
  "ListTaskExecutions flow_execution_id": ["run", (id) => ({ flowExecutionId: id })],
  "ListTaskExecutions flow_id": ["flow", (id) => ({ flowId: id })],
  "UpdateTaskExecution id": ["task", (id) => ({ id, etag: "1", updateMask: { paths: ["input"] } })],
  "CancelTaskExecution id": ["task", (id) => ({ id })],
  "DeleteTaskExecution id": ["task", (id) => ({ id })],
  "UndeleteTaskExecution id": ["task", (id) => ({ id })],
  "AdoptLateResult id": ["task", (id) => ({ id })],
  "HeartbeatTaskExecutions heartbeats.id": ["held", (id) => ({ heartbeats: [{ id, token: 3n }] })],
  "ReportTaskExecutions reports.id": [
    "held",
    (id) => ({ reports: [{ id, token: 3n, result: { case: "completed", value: {} } }] }),
  ],
  "UpdateTaskTags operations.id": ["task", (id) => ({ operations: [{ action: Action.ADD, id, tag: "t" }] })],
  "ListTaskExecutionEvents id": ["task", (id) => ({ id })],
  "WaitTaskExecution id": ["task", (id) => ({ id, wait: {} })],
  "WatchTaskExecutions flow_execution_id": ["run", (id) => ({ flowExecutionId: id })],
  "WatchTaskExecutions flow_id": ["flow", (id) => ({ flowId: id })],
  "UpdateFlow id": ["flow", (id) => ({ id, etag: "1", definition })],
  "GetFlow id": ["flow", (id) => ({ lookup: { case: "id", value: id } })],
  "ListFlowVersions id": ["flow", (id) => ({ id })],
  "DeleteFlow id": ["flow", (id) => ({ id })],
  "CreateFlowExecution flow_id": ["flow", (id) => ({ flowId: id, requestId: "matrix", dispatch: 1 })],
  "GetFlowExecution id": ["run", (id) => ({ id })],
  "ListFlowExecutions flow_id": ["flow", (id) => ({ flowId: id })],
  "CancelFlowExecution id": ["run", (id) => ({ id })],
  "DeleteFlowExecution id": ["run", (id) => ({ id })],
  "UndeleteFlowExecution id": ["run", (id) => ({ id })],
  "ReExecuteFlowExecution id": ["run", (id) => ({ id, scope: 1, requestId: "matrix" })],
  "GetFlowExecutionSummary id": ["run", (id) => ({ id })],
  "WaitFlowExecution id": ["run", (id) => ({ id, wait: {} })],
  "WatchFlowExecutions id": ["run", (id) => ({ id })],
  "WatchFlowExecutions flow_id": ["flow", (id) => ({ flowId: id })],
  "RotateApiKey id": ["key", (id) => ({ id, requestId: "matrix" })],
  "RevokeApiKey id": ["key", (id) => ({ id })],
};

const methods: [DescService, DescMethod][] = services.flatMap((service) =>
  service.methods.map((method): [DescService, DescMethod] => [service, method]),
);
const fields = methods.flatMap(([service, method]) =>
  idFieldsOf(method.input).map((field) => ({ service, method, name: `${method.name} ${field}` })),
);

describe("every id in every request", () => {
  let database: TestDatabase;
  let ours: string;
  let ourIds: Ids;
  let theirIds: Ids;
  let theirOrganization: string;
  let before: string;

  beforeAll(async () => {
    database = await openDatabase();
    ours = await givenOrganization(database.orm);
    theirOrganization = await givenOrganization(database.orm);
    ourIds = await givenIds(ours);
    theirIds = await givenIds(theirOrganization);
    before = await dump(theirOrganization);
  });
  afterAll(() => database.close());

  test("has a case, and there is no case without its field", () => {
    expect(fields.map(({ name }) => name).sort()).toEqual(Object.keys(cases).sort());
  });

  for (const { service, method, name } of fields) {
    test(`${name}: another organization's is answered like one that was never given out`, async () => {
      const [kind, request] = cases[name]!;
      const foreign = await answerTo(service, method, request(theirIds[kind]));
      const random = await answerTo(service, method, request(randomUUID()));
      expect(foreign).toBe(random);
    });
  }

  test("of one's own is answered otherwise", async () => {
    // Last the cases that delete and revoke, so that the others find what they ask for.
    for (const { service, method, name } of fields.sort((a, b) => harmOf(a.name) - harmOf(b.name))) {
      const [kind, request] = cases[name]!;
      const own = await answerTo(service, method, request(ourIds[kind]));
      expect(own, name).not.toBe(await answerTo(service, method, request(randomUUID())));
    }
  });

  test("of another organization leaves its rows as they were", async () => {
    expect(await dump(theirOrganization)).toBe(before);
  });

  async function givenIds(organizationId: string): Promise<Ids> {
    const caller = callerFrom(organizationId);
    const { flowId, flowExecutionId } = await givenRun(database.orm, organizationId, ["task"]);
    const tasks = clientOf(TaskExecutionService, database, caller);
    const { taskExecution } = await tasks.createTaskExecution({
      flowExecutionId,
      taskName: "task",
      status: Status.QUEUED,
    });
    const keys = clientOf(ApiKeyService, database, caller);
    await keys.createApiKey({ name: "a", kind: Kind.WORKER, role: Role.ADMIN, requestId: "0" });
    const { apiKey } = await keys.createApiKey({
      name: "k",
      kind: Kind.WORKER,
      role: Role.VIEWER,
      requestId: "1",
    });
    const held = await givenHeldTask(caller);
    return { held, task: taskExecution!.id, run: flowExecutionId, flow: flowId, key: apiKey!.id };
  }

  /** Returns the id of a task that a worker holds under the token 3: the run was 1, the task 2. */
  async function givenHeldTask(caller: Caller): Promise<string> {
    const { flow } = await clientOf(FlowService, database, caller).createFlow({
      definition: "name: held\ntasks: [{name: t}]",
    });
    await clientOf(FlowExecutionService, database, caller).createFlowExecution({
      flowId: flow!.id,
      requestId: "held",
      dispatch: Dispatch.MANAGED,
    });
    const { claimed } = await clientOf(WorkerService, database, caller).claimTaskExecutions({
      executors: ["t"],
      maxTaskExecutions: 1,
      workerId: "w",
      requestId: "held",
    });
    expect(claimed[0]!.token).toBe(3n);
    return claimed[0]!.taskExecution!.id;
  }

  /** Sends a request as our administrator and returns all that we learn from the answer, but for the request's id. */
  async function answerTo(service: DescService, method: DescMethod, request: object): Promise<string> {
    const client = clientOf(service, database, callerFrom(ours)) as Record<
      string,
      (request: object) => Promise<Message> & AsyncIterable<Message>
    >;
    try {
      const isOne = method.methodKind === "unary" || method.methodKind === "server_streaming";
      const answer = client[method.localName]!(isOne ? request : streamOf(request));
      // Of a stream the first message, which hangs up.
      const response = method.methodKind === "unary" ? await answer : await firstOf(answer);
      return Buffer.from(toBinary(method.output, response)).toString("latin1").replaceAll(requestId, "");
    } catch (reason) {
      const { code, rawMessage, details, metadata } = ConnectError.from(reason);
      const bytes = details.map((detail) =>
        "type" in detail ? [detail.type, Buffer.from(detail.value).toString("latin1")] : [],
      );
      const headers = [...metadata].filter(([name]) => name !== "x-request-id");
      return JSON.stringify([Code[code], rawMessage, bytes, headers]).replaceAll(requestId, "");
    }
  }

  async function dump(organizationId: string): Promise<string> {
    const tables = [
      "api_key",
      "flow",
      "flow_version",
      "flow_execution",
      "task_execution",
      "event",
      "task_tag",
      "task_lease",
      "late_result",
      "re_execution",
      "feed",
    ];
    const rows = tables.map((table) =>
      asSuperuser(
        database.superuserUrl,
        `select t::text from ${table} as t where organization_id = $1 order by 1`,
        [organizationId],
      ),
    );
    return JSON.stringify(await Promise.all(rows));
  }
});

async function* streamOf<T>(item: T): AsyncGenerator<T> {
  yield item;
}

async function firstOf(stream: AsyncIterable<Message>): Promise<Message> {
  for await (const message of stream) {
    return message;
  }
  throw new Error("the stream is empty");
}

/** A UUID in the answer's bytes that differs from call to call by right. */
const requestId = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** Returns the paths of the fields that hold ids, in a message and the messages in it. */
function idFieldsOf(message: DescMessage): string[] {
  return message.fields.flatMap((field) => {
    const inner = field.message?.typeName.startsWith("taskledger.") ? field.message : undefined;
    if (inner !== undefined) {
      return idFieldsOf(inner).map((path) => `${field.name}.${path}`);
    }
    return /^(id|.*_id)$/.test(field.name) && !/^(request|worker)_id$/.test(field.name) ? [field.name] : [];
  });
}

function harmOf(name: string): number {
  return /^(Cancel|Delete|Undelete|Revoke|Report)/.test(name) ? 1 : 0;
}
