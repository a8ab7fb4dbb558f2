import { randomUUID } from "node:crypto";
import type { JsonValue } from "@bufbuild/protobuf";
import { Client as DatabaseClient } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TaskExecutionService } from "../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultOrganizationId } from "../src/organization/bootstrap.ts";
import { openDatabase, type TestDatabase } from "./database.ts";
import { givenRun } from "./runs.ts";
import { startTestService } from "./service.ts";
import { type Seen, type WireClient, wireClients } from "./wire-clients.ts";

// One service, and everything that people call it with: each has to see the same.

const {
  batchCreateTaskExecutions,
  batchGetTaskExecutions,
  createTaskExecution,
  getTaskExecution,
  listTaskExecutions,
} = TaskExecutionService.method;
const errorInfo = "google.rpc.ErrorInfo";
const conflict = "taskledger.v1.Conflict";
const requestInfo = "google.rpc.RequestInfo";
const badRequest = "google.rpc.BadRequest";
const retryInfo = "google.rpc.RetryInfo";

let database: TestDatabase;
let service: Awaited<ReturnType<typeof startTestService>>;
let clients: ReturnType<typeof wireClients>;
let flowExecutionId: string;
let completed: { [key: string]: JsonValue };

beforeAll(async () => {
  database = await openDatabase();
  service = await startTestService(database.serviceUrl);
  clients = wireClients(service);
  ({ flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]));
  const output = { a: [1, 0, 1e-7, "é\u2028😀", null, { "": {} }] };
  completed = { flowExecutionId, taskName: "task", status: "STATUS_COMPLETED", output };
  await clients["gRPC, connect"]!(createTaskExecution, completed);
});
afterAll(async () => {
  clients?.[Symbol.dispose]();
  await service?.[Symbol.asyncDispose]();
  await database?.close();
});

/** Calls through every client at once; returns what all saw, or fails if one saw something else. */
async function seenByAll(call: (client: WireClient) => Promise<Seen>): Promise<Seen> {
  const seen = await Promise.all(
    Object.entries(clients).map(async ([name, client]) => [name, await call(client)] as const),
  );
  const [, first] = seen[0]!;
  expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(seen.map(([name]) => [name, first])));
  expect(seen).toHaveLength(7);
  return first;
}

/** Leaves out what is another for each call. */
function withoutRequestIds(seen: Seen): Seen {
  return JSON.parse(JSON.stringify(seen).replaceAll(/"requestId":"[0-9a-f-]+"/g, '"requestId":""'));
}

test("a create is answered with the record it made", async () => {
  let idx = 100;
  for (const client of Object.values(clients)) {
    const taskExecutionIdx = idx++;
    const seen = await client(createTaskExecution, { ...completed, taskExecutionIdx });
    expect(seen).toMatchObject({
      message: {
        outcome: "OUTCOME_CREATED",
        taskExecution: { taskExecutionIdx, status: "STATUS_COMPLETED" },
      },
    });
  }
});

test("a create that is repeated is answered alike everywhere", async () => {
  const seen = await seenByAll((client) => client(createTaskExecution, completed));
  expect(seen).toMatchObject({
    message: { outcome: "OUTCOME_UNCHANGED", taskExecution: { flowExecutionId } },
  });
});

test("a record is the same everywhere", async () => {
  const seen = await seenByAll((client) =>
    client(getTaskExecution, { key: { flowExecutionId, taskName: "task" } }),
  );
  expect(seen).toMatchObject({
    message: {
      taskExecution: {
        status: "STATUS_COMPLETED",
        output: { a: [1, 0, 1e-7, "é\u2028😀", null, { "": {} }] },
      },
    },
  });
});

test("a page of a list, and the token of the next one, are the same length everywhere and lead on", async () => {
  const run = await givenRun(database.orm, defaultOrganizationId, ["task"]);
  const own = { ...completed, flowExecutionId: run.flowExecutionId };
  for (const taskExecutionIdx of [0, 1, 2]) {
    await clients["gRPC, connect"]!(createTaskExecution, { ...own, taskExecutionIdx });
  }
  const list = { flowExecutionId: run.flowExecutionId, pageSize: 2, view: "VIEW_FULL" };
  const seen = await seenByAll(async (client) => {
    const first = (await client(listTaskExecutions, list)) as {
      message: { nextPageToken: string; taskExecutions: JsonValue[] };
    };
    const pageToken = first.message.nextPageToken;
    expect(pageToken).not.toBe("");
    const second = (await client(listTaskExecutions, { ...list, pageToken })) as typeof first;
    return { message: [...first.message.taskExecutions, ...second.message.taskExecutions] };
  });
  expect(seen).toMatchObject({
    message: [{ taskExecutionIdx: 2 }, { taskExecutionIdx: 1 }, { output: completed["output"] }],
  });
});

test("a conflict carries the reason and the record in the way everywhere", async () => {
  const seen = await seenByAll((client) => client(createTaskExecution, { ...completed, output: "other" }));
  expect(seen).toMatchObject({
    code: "AlreadyExists",
    details: {
      [errorInfo]: { reason: "ERROR_REASON_CONTENT_DIFFERS" },
      [conflict]: { verdict: "VERDICT_STOP", differingFields: ["output"], current: { flowExecutionId } },
    },
  });
  expect(Object.keys((seen as { details: object }).details)).not.toContain(retryInfo);
});

test("what is wrong with one item of a batch is told in its place everywhere", async () => {
  const requests = [completed, { ...completed, output: "other" }, { ...completed, taskName: "" }];
  const seen = await seenByAll((client) =>
    client(batchCreateTaskExecutions, { requests }).then(withoutRequestIds),
  );
  const typeUrl = (name: string) => `type.googleapis.com/${name}`;
  expect(seen).toMatchObject({
    message: {
      results: [
        { response: { outcome: "OUTCOME_UNCHANGED" } },
        {
          error: {
            code: 6,
            details: [
              { "@type": typeUrl(errorInfo), reason: "ERROR_REASON_CONTENT_DIFFERS" },
              { "@type": typeUrl(requestInfo) },
              { "@type": typeUrl(conflict), differingFields: ["output"] },
            ],
          },
        },
        {
          error: {
            code: 3,
            details: [
              { "@type": typeUrl(errorInfo) },
              { "@type": typeUrl(requestInfo) },
              { "@type": typeUrl(badRequest) },
            ],
          },
        },
      ],
    },
  });
});

test("many lookups are answered alike everywhere, each in its place", async () => {
  const requests = [{ key: { flowExecutionId, taskName: "task" } }, { id: randomUUID() }, {}];
  const seen = await seenByAll((client) =>
    client(batchGetTaskExecutions, { requests }).then(withoutRequestIds),
  );
  expect(seen).toMatchObject({
    message: {
      results: [
        { response: { taskExecution: { flowExecutionId, output: completed["output"] } } },
        { error: { code: 5, details: [{ reason: "ERROR_REASON_NOT_FOUND" }, {}] } },
        { error: { code: 3, details: [{ reason: "ERROR_REASON_VALIDATION_FAILED" }, {}, {}] } },
      ],
    },
  });
});

test("what is not there is told alike everywhere", async () => {
  const id = randomUUID();
  const seen = await seenByAll((client) => client(getTaskExecution, { id }));
  expect(seen).toMatchObject({
    code: "NotFound",
    details: { [errorInfo]: { reason: "ERROR_REASON_NOT_FOUND" } },
  });
});

test("a request that is not valid is told with its fields everywhere", async () => {
  const request = { flowExecutionId: "17", taskName: "", status: "STATUS_QUEUED" };
  const seen = await seenByAll((client) => client(createTaskExecution, request));
  expect(seen).toMatchObject({
    code: "InvalidArgument",
    details: {
      [errorInfo]: { reason: "ERROR_REASON_VALIDATION_FAILED" },
      [badRequest]: { fieldViolations: [{ field: "flow_execution_id" }, { field: "task_name" }] },
    },
  });
});

test("what is worth repeating says when, everywhere", async () => {
  const holder = new DatabaseClient({ connectionString: database.superuserUrl });
  await holder.connect();
  try {
    await holder.query("begin");
    await holder.query("select from flow_execution where id = $1 for update", [flowExecutionId]);
    const seen = await seenByAll((client) =>
      client(createTaskExecution, { ...completed, taskExecutionIdx: 999 }),
    );
    expect(seen).toMatchObject({
      code: "Aborted",
      details: { [errorInfo]: { reason: "ERROR_REASON_CONTENTION" }, [retryInfo]: { retryDelay: "0.100s" } },
    });
  } finally {
    await holder.end();
  }
});
