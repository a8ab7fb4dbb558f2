import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { type Caller, callerKey } from "../../src/auth/caller.ts";
import { LedgerError } from "../../src/errors.ts";
import { pathOf, type ServerOptions, startServer, type TestServer } from "./server.ts";

const caller: Caller = {
  organizationId: "0195f7a0-0000-7000-8000-000000000000",
  subject: "key-1",
  kind: "worker",
  role: "worker",
  keyName: "nightly",
};
const authenticateAs =
  (caller: Caller): NonNullable<ServerOptions["authenticate"]> =>
  (next) =>
  (req) => {
    req.contextValues.set(callerKey, caller);
    return next(req);
  };
const tasksOf = ({ origin }: TestServer) =>
  createClient(TaskExecutionService, createGrpcTransport({ baseUrl: origin }));

test("a call is one line with who called what, how it ended, and nothing else", async () => {
  await using server = await startServer({
    authenticate: authenticateAs(caller),
    tasks: { listTaskExecutions: () => ({ nextPageToken: "canary" }) },
  });
  await tasksOf(server).listTaskExecutions(
    { pageToken: "canary" },
    { headers: { "x-request-id": "r-1", authorization: "Bearer canary", "user-agent": "canary" } },
  );
  expect(server.log).toHaveLength(1);
  const { level, msg, duration_ms, pid, time, hostname, ...line } = JSON.parse(server.log[0] ?? "");
  expect(line).toEqual({
    request_id: "r-1",
    method: "taskledger.v1.TaskExecutionService/ListTaskExecutions",
    protocol: "grpc",
    code: "ok",
    organization_id: caller.organizationId,
    subject: "key-1",
  });
  expect({ level, msg }).toEqual({ level: 30, msg: "call" });
  expect(duration_ms).toBeGreaterThanOrEqual(0);
});

test.each([
  [
    "info",
    30,
    new LedgerError("NOT_FOUND", "canary", { metadata: { canary: "canary" } }),
    "not_found",
    "NOT_FOUND",
  ],
  ["info", 30, new LedgerError("DRAINING", "canary"), "unavailable", "DRAINING"],
  ["warn", 40, new LedgerError("DATABASE_UNAVAILABLE", "canary"), "unavailable", "DATABASE_UNAVAILABLE"],
  ["warn", 40, new LedgerError("STORAGE_FULL", "canary"), "resource_exhausted", "STORAGE_FULL"],
  ["error", 50, new LedgerError("INTERNAL", "canary"), "internal", "INTERNAL"],
])(
  "at level %s stands what that level is for, without the message",
  async (_, level, error, code, reason) => {
    await using server = await startServer({
      tasks: {
        listTaskExecutions() {
          throw error;
        },
      },
    });
    await expect(tasksOf(server).listTaskExecutions({})).rejects.toThrow();
    expect(server.calls()).toMatchObject([{ level, code, reason }]);
    expect(server.log.join("")).not.toContain("canary");
  },
);

test("a defect is logged with its causes and stack, but not with what a database error quotes", async () => {
  const database = Object.assign(new Error("insert into t values ('canary')"), {
    code: "22P02",
    detail: "canary",
  });
  await using server = await startServer({
    tasks: {
      listTaskExecutions() {
        throw new Error("could not list", { cause: database });
      },
      getTaskExecution() {
        JSON.parse("canary");
        return {};
      },
    },
  });
  const client = tasksOf(server);
  await expect(client.listTaskExecutions({})).rejects.toThrow();
  await expect(
    client.getTaskExecution({ lookup: { case: "id", value: caller.organizationId } }),
  ).rejects.toThrow();
  const withheld = "(withheld: it may quote data)";
  expect(server.calls()).toMatchObject([
    {
      level: 50,
      causes: [
        { type: "Error", message: "could not list" },
        { type: "Error", message: withheld, code: "22P02" },
      ],
    },
    { level: 50, causes: [{ type: "SyntaxError", message: withheld }] },
  ]);
  expect(JSON.stringify(server.calls()[0])).toContain("request-log.test.ts");
  expect(server.log.join("")).not.toContain("canary");
});

test("nothing from outside can forge a line, or change how one is shown", async () => {
  const evil = '\r\n{"level":60,"msg":"forged"}\n\u001b[31m\u2028\u2029\u009b31m\u202e\u0000';
  await using server = await startServer({
    authenticate: authenticateAs({ ...caller, subject: evil + "x".repeat(5000), organizationId: evil }),
    tasks: {
      listTaskExecutions() {
        throw Object.assign(new Error(evil), { name: evil, code: evil });
      },
    },
  });
  await expect(tasksOf(server).listTaskExecutions({})).rejects.toThrow();
  const path = encodeURI(`/${evil.replaceAll("\0", "")}`);
  await fetch(server.origin + path, { headers: { "x-request-id": "a b", "user-agent": '"}\\u000a{' } });
  const lines = server.log
    .join("")
    .trimEnd()
    .split(/\r\n|[\r\n\u2028\u2029\u0085]/);
  expect(lines).toHaveLength(2);
  for (const line of lines) {
    expect(line).toMatch(/^[ -~\u00a0-\u2027\u2030-\uffff]*$/);
    expect(JSON.parse(line)).toMatchObject({ msg: "call" });
    expect(line.length).toBeLessThan(4000);
  }
  expect(JSON.parse(lines[0] ?? "").subject).toHaveLength(256);
});

test("a stream is logged once, when it ends, also if its client just vanishes", async () => {
  await using server = await startServer();
  for (const transport of [
    createGrpcTransport({ baseUrl: server.origin }),
    createConnectTransport({ baseUrl: server.origin, httpVersion: "1.1" }),
  ]) {
    const gone = new AbortController();
    const stream = createClient(Health, transport).watch({}, { signal: gone.signal })[Symbol.asyncIterator]();
    await stream.next();
    gone.abort();
    await expect(stream.next()).rejects.toThrow();
  }
  await expect
    .poll(() => server.calls().map(({ code, protocol }) => [code, protocol]))
    .toEqual([
      ["canceled", "grpc"],
      ["canceled", "connect"],
    ]);
});

test("what no interceptor sees is logged, too", async () => {
  await using server = await startServer({ tasks: { getTaskExecution: () => ({}) } });
  const post = (path: string, body: string, type = "application/json") =>
    fetch(server.origin + path, {
      method: "POST",
      body,
      headers: { "content-type": type, "x-request-id": "r-1" },
    });
  await post(pathOf("GetTaskExecution"), "{");
  await post(pathOf("Nope"), "{}");
  await post(pathOf("GetTaskExecution"), "canary", "text/plain");
  expect(server.calls()).toMatchObject([
    { method: pathOf("GetTaskExecution").slice(1), reason: "REQUEST_MALFORMED", request_id: "r-1" },
    { method: pathOf("Nope").slice(1), reason: "METHOD_UNKNOWN", request_id: "r-1" },
    { method: pathOf("GetTaskExecution").slice(1), reason: "REQUEST_MALFORMED", request_id: "r-1" },
  ]);
  expect(server.log.join("")).not.toContain("canary");
});
