import { connect } from "node:http2";
import { connect as connectTcp } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskExecutionService,
  WatchTaskExecutionsRequestSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { Caller } from "../../src/auth/caller.ts";
import { callerFrom, outcomeOf } from "../client.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { signIn } from "../service.ts";
import { startWatchServer, type WatchServer, type WatchServerOptions } from "./watch-server.ts";
import { listen } from "./watcher.ts";

let database: TestDatabase;
let organizationId: string;
beforeAll(async () => {
  database = await openDatabase();
  organizationId = await givenOrganization(database.orm);
});
afterAll(() => database.close());

const startServer = (options: Partial<WatchServerOptions> = {}) =>
  startWatchServer(database.orm, { authenticate: async () => callerFrom(organizationId), ...options });

const watchRun = (server: WatchServer, flowExecutionId: string) => {
  const client = server.client(TaskExecutionService);
  return listen((options) => client.watchTaskExecutions({ flowExecutionId }, options));
};

async function reasonOf(next: Promise<unknown>): Promise<{ code: Code; reason: string | undefined }> {
  const error = ConnectError.from(await next.catch((thrown: unknown) => thrown));
  return { code: error.code, reason: error.findDetails(ErrorInfoSchema)[0]?.reason };
}

describe("over each protocol, on HTTP/1.1 and HTTP/2,", () => {
  const transports = (baseUrl: string) => {
    const options = { baseUrl, interceptors: [signIn("test")] };
    return {
      "gRPC on HTTP/2": createGrpcTransport(options),
      "gRPC-Web on HTTP/1.1": createGrpcWebTransport({ ...options, httpVersion: "1.1" }),
      "gRPC-Web on HTTP/2": createGrpcWebTransport({ ...options, httpVersion: "2" }),
      "Connect on HTTP/1.1": createConnectTransport({
        ...options,
        httpVersion: "1.1",
        useBinaryFormat: false,
      }),
      "Connect on HTTP/2": createConnectTransport({ ...options, httpVersion: "2" }),
    };
  };

  test("a watch tells the same as it happens, and ends with END and then OK", async () => {
    await using server = await startServer();
    const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
    const report = { flowExecutionId, taskName: "a" };
    const watchers = Object.values(transports(server.origin)).map((transport) =>
      listen((options) =>
        createClient(TaskExecutionService, transport).watchTaskExecutions({ flowExecutionId }, options),
      ),
    );
    for (const watcher of watchers) await watcher.untilCase("synced");
    const tasks = server.client(TaskExecutionService);
    await tasks.createTaskExecution({ ...report, status: Status.RUNNING });
    for (const watcher of watchers) await watcher.untilCase("changes");
    await tasks.createTaskExecution({ ...report, status: Status.COMPLETED });
    for (const watcher of watchers) {
      await watcher.untilCase("end");
      expect(await watcher.next()).toBeUndefined();
    }
    const heard = watchers.map((watcher) => watcher.heard.map(({ content }) => content.case));
    expect(heard).toEqual(heard.map(() => ["synced", "changes", "changes", "end"]));
  });

  test("a credential that is revoked ends it with UNAUTHENTICATED", async () => {
    let caller: Caller | undefined = callerFrom(organizationId);
    await using server = await startServer({
      authenticate: async () => caller,
      watchLimits: { keepaliveMs: 50, recheckMs: 60 },
    });
    const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
    for (const transport of Object.values(transports(server.origin))) {
      caller = callerFrom(organizationId);
      const tasks = createClient(TaskExecutionService, transport);
      const watcher = listen((options) => tasks.watchTaskExecutions({ flowExecutionId }, options));
      await watcher.untilCase("keepalive");
      caller = undefined;
      const ended = await reasonOf(watcher.untilCase("end"));
      expect(ended).toEqual({ code: Code.Unauthenticated, reason: "ERROR_REASON_CREDENTIAL_INVALID" });
    }
  });
});

test("a credential that is another organization's by now ends a watch, too", async () => {
  let organization = organizationId;
  await using server = await startServer({
    authenticate: async () => callerFrom(organization),
    watchLimits: { keepaliveMs: 20, recheckMs: 30 },
  });
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
  await using watcher = watchRun(server, flowExecutionId);
  await watcher.untilCase("synced");
  organization = await givenOrganization(database.orm);
  expect((await reasonOf(watcher.untilCase("end"))).code).toBe(Code.Unauthenticated);
});

test("a proxy that closes what is silent leaves a watch alone, and every keepalive can be resumed from", async () => {
  // A fiftieth of the real times: keepalives at 10 s, proxies that wait 30 s.
  await using server = await startServer({ watchLimits: { keepaliveMs: 200 } });
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
  const tasks = server.client(TaskExecutionService);
  await using watcher = watchRun(server, flowExecutionId);
  await watcher.untilCase("synced");
  let longestMs = 0;
  let last = performance.now();
  for (let count = 0; count < 5; count++) {
    await watcher.untilCase("keepalive");
    longestMs = Math.max(longestMs, performance.now() - last);
    last = performance.now();
  }
  expect(longestMs).toBeLessThan(600);
  const resumeToken = watcher.token();
  await tasks.createTaskExecution({ flowExecutionId, taskName: "a", status: Status.RUNNING });
  await using again = listen((options) =>
    tasks.watchTaskExecutions({ flowExecutionId, resumeToken }, options),
  );
  await again.untilCase("synced");
  expect(again.heard.map(({ content }) => content.case)).toEqual(["changes", "synced"]);
});

test("a watch that has lasted long enough ends UNAVAILABLE, to be resumed", async () => {
  await using server = await startServer({ watchLimits: { keepaliveMs: 20, ageMs: 50 } });
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
  const watcher = watchRun(server, flowExecutionId);
  const ended = await reasonOf(watcher.untilCase("end"));
  expect(ended).toEqual({ code: Code.Unavailable, reason: "ERROR_REASON_WATCH_EXPIRED" });
});

test("a server that drains ends watches UNAVAILABLE, and answers waits", async () => {
  await using server = await startServer();
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
  const watcher = watchRun(server, flowExecutionId);
  await watcher.untilCase("synced");
  const report = { flowExecutionId, taskName: "a", status: Status.RUNNING };
  const tasks = server.client(TaskExecutionService);
  const { taskExecution } = await tasks.createTaskExecution(report);
  const wait = tasks.waitTaskExecution({ id: taskExecution!.id });
  await expect.poll(() => server.feeds.figures.streams).toBe(2);
  const drained = server.drain();
  const ended = await reasonOf(watcher.untilCase("end"));
  expect(ended).toEqual({ code: Code.Unavailable, reason: "ERROR_REASON_DRAINING" });
  expect(await wait).toMatchObject({ ended: false, taskExecution: { status: Status.RUNNING } });
  await drained;
  expect(server.feeds.figures.streams).toBe(0);
});

test("a caller has so many watches and no more; another one is not affected", async () => {
  let subject = "one";
  await using server = await startServer({
    authenticate: async () => callerFrom(organizationId, { subject }),
    limits: { maxStreamsPerCaller: 2 },
  });
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
  const first = watchRun(server, flowExecutionId);
  await first.untilCase("synced");
  await using second = watchRun(server, flowExecutionId);
  await second.untilCase("synced");
  expect(await outcomeOf(watchRun(server, flowExecutionId).next())).toBe("TOO_MANY_REQUESTS");
  subject = "two";
  await using other = watchRun(server, flowExecutionId);
  await other.untilCase("synced");
  subject = "one";
  first.close();
  await expect.poll(() => server.feeds.figures.streams).toBe(2);
  await using third = watchRun(server, flowExecutionId);
  await third.untilCase("synced");
});

/** Opens a watch by hand, which reads nothing of what comes until it is told to. */
function openRaw(port: number, flowExecutionId: string) {
  const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 16_384 } });
  session.on("error", () => undefined);
  const message = toBinary(WatchTaskExecutionsRequestSchema, {
    $typeName: "taskledger.v1.WatchTaskExecutionsRequest",
    flowExecutionId,
    flowId: "",
    taskName: "",
    statuses: [],
    view: 2,
    resumeToken: "",
    changesOnly: false,
  });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const stream = session.request({
    ":method": "POST",
    ":path": "/taskledger.v1.TaskExecutionService/WatchTaskExecutions",
    "content-type": "application/grpc",
    authorization: "Bearer test",
  });
  stream.on("error", () => undefined);
  stream.end(Buffer.concat([head, message]));
  const opened = new Promise((resolve) => stream.once("response", resolve));
  return { session, stream, opened };
}

test("watches whose clients vanish while a message waits for them are forgotten at once", async () => {
  await using server = await startServer();
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
  const output = { kind: { case: "stringValue" as const, value: "x".repeat(100_000) } };
  const tasks = server.client(TaskExecutionService);
  for (let taskExecutionIdx = 0; taskExecutionIdx < 5; taskExecutionIdx++) {
    const report = { flowExecutionId, taskName: "a", taskExecutionIdx };
    await tasks.createTaskExecution({ ...report, status: Status.COMPLETED, output });
  }
  for (const drop of ["reset", "destroy"]) {
    const raw = Array.from({ length: 50 }, () => openRaw(server.port, flowExecutionId));
    await expect.poll(() => server.feeds.figures.streams, { timeout: 10_000 }).toBe(50);
    await Promise.all(raw.map(({ opened }) => opened));
    for (const { session, stream } of raw) {
      if (drop === "reset") stream.close(8);
      else session.destroy();
    }
    await expect.poll(() => server.feeds.figures.streams, { timeout: 1000, interval: 20 }).toBe(0);
    for (const { session } of raw) session.destroy();
  }
});

test("a client that reads nothing for too long is told to resume, when it reads again", async () => {
  await using server = await startServer({ watchLimits: { stallMs: 300, keepaliveMs: 100 } });
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a", "b"]);
  const output = { kind: { case: "stringValue" as const, value: "x".repeat(200_000) } };
  const tasks = server.client(TaskExecutionService);
  for (let taskExecutionIdx = 0; taskExecutionIdx < 5; taskExecutionIdx++) {
    const report = { flowExecutionId, taskName: "a", taskExecutionIdx };
    await tasks.createTaskExecution({ ...report, status: Status.COMPLETED, output });
  }
  const { session, stream, opened } = openRaw(server.port, flowExecutionId);
  await opened;
  const trailers = new Promise<Record<string, unknown>>((resolve) => stream.once("trailers", resolve));
  // What this is about is that time passes while nothing is read.
  await sleep(700);
  stream.resume();
  expect(await trailers).toMatchObject({ "grpc-status": String(Code.Aborted) });
  session.destroy();
});

test("a client that never reads is cut off in the end", async () => {
  await using server = await startServer({ limits: { writeStallMs: 300 } });
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a", "b"]);
  const output = { kind: { case: "stringValue" as const, value: "x".repeat(250_000) } };
  const tasks = server.client(TaskExecutionService);
  for (let taskExecutionIdx = 0; taskExecutionIdx < 20; taskExecutionIdx++) {
    const report = { flowExecutionId, taskName: "a", taskExecutionIdx };
    await tasks.createTaskExecution({ ...report, status: Status.COMPLETED, output });
  }
  const body = JSON.stringify({ flowExecutionId, view: "VIEW_FULL" });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  const socket = connectTcp(server.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.pause();
  socket.write(
    `POST /taskledger.v1.TaskExecutionService/WatchTaskExecutions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\n` +
      `Content-Type: application/connect+json\r\nContent-Length: ${body.length + 5}\r\n\r\n`,
  );
  socket.write(Buffer.concat([head, Buffer.from(body)]));
  await expect.poll(() => server.feeds.figures.streams).toBe(1);
  await expect.poll(() => server.feeds.figures.streams, { timeout: 5000 }).toBe(0);
  socket.destroy();
});
