import { once } from "node:events";
import { Agent, request } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { connectRaw } from "./raw-http1.ts";
import { pathOf, startServer, type TestServer } from "./server.ts";
import { reasonOf, seen, send } from "./wire.ts";

const seconds = { graceMs: 10_000, settleMs: 0 };

/** Starts a server whose lists end when they are told to. */
async function startSlowServer() {
  const waiting: (() => void)[] = [];
  const aborted: unknown[] = [];
  const server = await startServer({
    tasks: {
      listTaskExecutions: (_, { signal }) =>
        new Promise((resolve) => {
          signal.addEventListener("abort", () => aborted.push(signal.reason));
          waiting.push(() => resolve({ nextPageToken: "done" }));
        }),
    },
  });
  return { server, waiting, aborted };
}

const transportsOf = ({ origin: baseUrl }: TestServer) => [
  createGrpcTransport({ baseUrl }),
  createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  createConnectTransport({ baseUrl, httpVersion: "1.1" }),
  createConnectTransport({ baseUrl, httpVersion: "2" }),
];

test("calls in flight end well, streams end UNAVAILABLE, and then the server is gone", async () => {
  const { server, waiting, aborted } = await startSlowServer();
  await using _ = server;
  const transports = transportsOf(server);
  const pick = (index: number) => transports[index % transports.length]!;
  const lists = Array.from({ length: 50 }, (_, index) =>
    createClient(TaskExecutionService, pick(index)).listTaskExecutions({}),
  );
  const streams = Array.from({ length: 20 }, (_, index) =>
    createClient(Health, pick(index)).watch({})[Symbol.asyncIterator](),
  );
  await Promise.all(streams.map((stream) => stream.next()));
  await expect.poll(() => waiting.length).toBe(50);
  const drained = server.listener.drain(seconds).then(() => performance.now());

  const ends = await Promise.all(
    streams
      .map(async (stream) => {
        // A last word that the server is not serving may come first.
        for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
          expect(next.value.status).toBe(ServingStatus.NOT_SERVING);
        }
      })
      .map((end) =>
        end.then(
          () => "ended",
          (error: unknown) => reasonOf(seen(ConnectError.from(error))),
        ),
      ),
  );
  expect(ends).toEqual(Array(20).fill("DRAINING"));

  const released = performance.now();
  for (const release of waiting) {
    release();
  }
  const answers = await Promise.all(lists);
  expect(answers.map(({ nextPageToken }) => nextPageToken)).toEqual(Array(50).fill("done"));
  expect((await drained) - released).toBeLessThan(1000);
  // Every call's signal aborts when it is done, but none did before.
  expect(aborted.every((reason) => !(reason instanceof ConnectError))).toBe(true);
  await expect(fetch(`${server.origin}/healthz`)).rejects.toThrow();
});

test("new calls on an old connection are refused: by GOAWAY, or with DRAINING and the end of the connection", async () => {
  const { server, waiting } = await startSlowServer();
  await using _ = server;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const session = connect(server.origin);
  const list = { ":path": pathOf("ListTaskExecutions"), "content-type": "application/json" };
  const inFlight = send(session, list, Buffer.from("{}"));
  const overHttp1 = post(server, agent);
  await expect.poll(() => waiting.length).toBe(2);

  const drained = server.listener.drain(seconds);
  await once(session, "goaway");
  await expect(trySend(session)).resolves.toMatch(/refused|GOAWAY|ERR_HTTP2/i);
  for (const release of waiting) {
    release();
  }
  expect((await inFlight).status).toBe(200);
  expect(await overHttp1).toMatchObject({ status: 200, connection: "close" });
  await drained;
});

async function trySend(session: ClientHttp2Session): Promise<string> {
  try {
    const response = await send(session, { ":path": "/healthz", ":method": "GET" });
    return `answered ${response.status}`;
  } catch (error) {
    return `${(error as NodeJS.ErrnoException).code} ${error}`;
  }
}

function post(
  { port }: TestServer,
  agent: Agent,
): Promise<{ status: number | undefined; connection: string | undefined }> {
  const headers = { "content-type": "application/json" };
  return new Promise((resolve, reject) => {
    request({ port, agent, method: "POST", path: pathOf("ListTaskExecutions"), headers }, (response) => {
      response.resume();
      resolve({ status: response.statusCode, connection: response.headers.connection });
    })
      .on("error", reject)
      .end("{}");
  });
}

test("while load balancers take notice, it is not ready but answers", async () => {
  await using server = await startServer({ tasks: { listTaskExecutions: () => ({}) } });
  const drained = server.listener.drain({ graceMs: 5000, settleMs: 300 });
  expect((await fetch(`${server.origin}/readyz`)).status).toBe(503);
  const client = createClient(TaskExecutionService, createGrpcTransport({ baseUrl: server.origin }));
  await expect(client.listTaskExecutions({})).resolves.toBeDefined();
  await drained;
});

test("a call that comes over HTTP/1.1 while the server drains is told to come again", async () => {
  const { server, waiting } = await startSlowServer();
  await using _ = server;
  const { socket, received, closed } = await connectRaw(server.port);
  const head = `POST ${pathOf("ListTaskExecutions")} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n`;
  socket.write(`${head}Content-Length: 2\r\n\r\n{}`);
  await expect.poll(() => waiting.length).toBe(1);
  // Begun before the end, but complete only after it.
  const second = await connectRaw(server.port);
  second.socket.write(head);
  await delay(20);
  const drained = server.listener.drain(seconds);
  await delay(20);
  second.socket.write("Content-Length: 2\r\n\r\n{}");
  await second.closed();
  expect(second.received()).toMatch(/^HTTP\/1\.1 503 /);
  expect(second.received()).toContain("ERROR_REASON_DRAINING");
  expect(second.received()).toMatch(/connection: close/i);
  waiting[0]?.();
  await closed();
  expect(received()).toMatch(/^HTTP\/1\.1 200 /);
  await drained;
});

test("idle connections, silent ones, and those of finished calls do not hold it up", async () => {
  await using server = await startServer();
  const session = connect(server.origin);
  await send(session, { ":path": "/healthz", ":method": "GET" });
  const silent = await connectRaw(server.port);
  await fetch(`${server.origin}/healthz`);
  const start = performance.now();
  await server.listener.drain(seconds);
  expect(performance.now() - start).toBeLessThan(1000);
  await silent.closed();
});

test("what is not done when the time is over is cut off", async () => {
  const { server, waiting } = await startSlowServer();
  await using _ = server;
  const client = createClient(TaskExecutionService, createGrpcTransport({ baseUrl: server.origin }));
  const list = client.listTaskExecutions({}).catch((error: unknown) => ConnectError.from(error).code);
  await expect.poll(() => waiting.length).toBe(1);
  const start = performance.now();
  await server.listener.drain({ graceMs: 300, settleMs: 0 });
  expect(performance.now() - start).toBeGreaterThan(290);
  expect(performance.now() - start).toBeLessThan(1000);
  expect([Code.Aborted, Code.Unavailable, Code.Internal, Code.Canceled]).toContain(await list);
});

test("closing in the middle of a drain ends it at once", async () => {
  const { server, waiting } = await startSlowServer();
  await using _ = server;
  const client = createClient(TaskExecutionService, createGrpcTransport({ baseUrl: server.origin }));
  const list = client.listTaskExecutions({}).catch(() => "cut off");
  await expect.poll(() => waiting.length).toBe(1);
  const drained = server.listener.drain(seconds);
  await delay(20);
  const start = performance.now();
  await server.listener.close();
  await drained;
  expect(performance.now() - start).toBeLessThan(500);
  expect(await list).toBe("cut off");
});
