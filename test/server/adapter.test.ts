import { Http2ServerResponse } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { queryObjects } from "node:v8";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createFuzzer, fuzzHttp1, fuzzHttp2, seededRandom, type Tally } from "./header-fuzz.ts";
import { connectRaw, exchange } from "./raw-http1.ts";
import { connectRawHttp2, frameTypes } from "./raw-http2.ts";
import { pathOf, startServer, type TestServer } from "./server.ts";
import { errorOf, reasonOf, send, withSession } from "./wire.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    tasks: { getTaskExecution: () => ({}), createTaskExecution: () => ({}) },
    corsOrigins: ["https://console.example"],
  });
});
afterAll(() => server[Symbol.asyncDispose]());

const path = pathOf("ListTaskExecutions");
const get = pathOf("GetTaskExecution");

describe("a malformed authority", () => {
  const malformed = [
    "[",
    "a:99999",
    "127.0.0.1:abc",
    "a%zz",
    "x@y:1:2",
    "1.2.3.4.5.6.999",
    "a b",
    "",
    "*",
    "é",
  ];

  test.each(malformed)("%j over HTTP/2 is answered 400", async (authority) => {
    const headers = { ":path": path, ":authority": authority, "content-type": "application/json" };
    const response = await withSession(server.origin, (session) =>
      send(session, headers, Buffer.from("{}")),
    ).catch(
      // Some never leave Node's client, or are refused by its HTTP/2 library.
      () => undefined,
    );
    if (response !== undefined) {
      expect(response.status).toBe(400);
      expect(reasonOf(errorOf(response))).toBe("REQUEST_MALFORMED");
    }
    await expect(fetch(`${server.origin}/healthz`)).resolves.toMatchObject({ status: 200 });
  });

  test("over HTTP/1.1 is answered 400, with a request id and JSON", async () => {
    for (const authority of malformed) {
      const response = await exchange(
        server.port,
        `POST ${path} HTTP/1.1\r\nHost: ${authority}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
      );
      expect(response).toMatch(/^HTTP\/1\.1 400 /);
      expect(response).toMatch(/\r\nx-request-id: [0-9a-f-]{36}\r\n/);
      expect(response).toContain('"reason":"ERROR_REASON_REQUEST_MALFORMED"');
    }
  });
});

test.each([
  ["no Host", `GET ${get} HTTP/1.1\r\nConnection: close\r\n\r\n`, "400"],
  ["HTTP/1.0 without Host", `GET ${get} HTTP/1.0\r\n\r\n`, "400"],
  ["CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", ""],
  ["TRACE", `TRACE ${get} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, "405"],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"],
  ["an absolute path", `GET http://a:99999${get} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, "404"],
  ["a path with %00", `GET ${get}%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, "404"],
  ["a path of two slashes", "GET //[ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"],
  ["a path of 64 KiB", `GET /${"a".repeat(65_536)} HTTP/1.1\r\nHost: a\r\n\r\n`, "431"],
  ["a header of 20 KB", `GET ${get} HTTP/1.1\r\nHost: a\r\nx: ${"a".repeat(20_000)}\r\n\r\n`, "431"],
  [
    "an unknown expectation",
    `GET ${get} HTTP/1.1\r\nHost: a\r\nExpect: x\r\nConnection: close\r\n\r\n`,
    "417",
  ],
  ["no HTTP", "\u0016\u0003\u0001\u0002\u0000\u0001\r\n\r\n", "400"],
])("%s over HTTP/1.1 is answered, or ends the connection", async (_, request, status) => {
  const response = await exchange(server.port, request);
  expect(response.slice(0, 12).replace("HTTP/1.1 ", "")).toBe(status);
});

test("two credentials in one request are refused, not one of them dropped", async () => {
  const response = await exchange(
    server.port,
    `GET ${get} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\nConnection: close\r\n\r\n`,
  );
  expect(response).toContain("the header authorization is there more than once");
});

test("some thousands of random requests over HTTP/1.1 and HTTP/2 leave the server as it was", async () => {
  const paths = [path, get, pathOf("CreateTaskExecution"), "/grpc.health.v1.Health/Watch"];
  const fuzzer = createFuzzer(seededRandom(1), paths);
  const tally: Tally = {};
  await fuzzHttp2(server.origin, fuzzer, 3000, tally);
  await fuzzHttp1(server.port, fuzzer, 1000, tally);
  expect(tally["hangs"] ?? 0).toBe(0);
  expect(tally["HTTP 400"]).toBeGreaterThan(100);
  expect(tally["HTTP 200"]).toBeGreaterThan(10);
  expect(server.calls().filter(({ level }) => level === 50)).toEqual([]);
  await expect(fetch(`${server.origin}/readyz`)).resolves.toMatchObject({ status: 200 });
});

describe("a foreign page", () => {
  const post = (type: string, path: string, origin = "https://evil.example") =>
    fetch(server.origin + path, { method: "POST", body: "{}", headers: { "content-type": type, origin } });

  test.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])(
    "cannot post %j, which browsers send without asking",
    async (type) => {
      const response = await post(type, pathOf("CreateTaskExecution"));
      expect(response.status).toBe(415);
    },
  );

  test("cannot call a method with side effects by GET", async () => {
    const response = await fetch(
      `${server.origin}${pathOf("CreateTaskExecution")}?encoding=json&message=%7B%7D`,
    );
    expect(response.status).toBe(405);
    expect(await response.json()).toMatchObject({
      message: "GET is not allowed for CreateTaskExecution; use POST",
    });
  });

  test("is not told what an answer says", async () => {
    const response = await post("application/json", get);
    expect(response.headers.has("access-control-allow-origin")).toBe(false);
  });
});

test("curl needs no header of Connect's", async () => {
  const headers = { "content-type": "application/json" };
  const response = await fetch(server.origin + get, {
    method: "POST",
    headers,
    body: '{"id":"0195f7a0-0000-7000-8000-000000000000"}',
  });
  expect(response.status).toBe(200);
});

test("a sane request id is echoed in every response, another is replaced", async () => {
  for (const path of ["/healthz", "/nope", get]) {
    const given = await fetch(server.origin + path, { headers: { "x-request-id": "mine.1" } });
    expect(given.headers.get("x-request-id")).toBe("mine.1");
    const replaced = await fetch(server.origin + path, { headers: { "x-request-id": "a b" } });
    expect(replaced.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  }
});

test("a stream in both directions over HTTP/1.1 is refused with the reason", async () => {
  const response = await fetch(`${server.origin}/grpc.reflection.v1.ServerReflection/ServerReflectionInfo`, {
    method: "POST",
    body: "",
    headers: { "content-type": "application/connect+json" },
  });
  expect(await response.text()).toContain("ServerReflectionInfo streams both ways, which needs HTTP/2");
});

test("a client that sends a stream over HTTP/1.1 reads why it is refused, however much it has to send", async () => {
  await using server = await startServer();
  const { socket, received } = await connectRaw(server.port);
  const head = (path: string) => `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web\r\n`;
  socket.write(`${head(pathOf("IngestTaskExecutions"))}Content-Length: 100000\r\n\r\n`);
  await expect.poll(received).toContain("IngestTaskExecutions streams both ways, which needs HTTP/2");
  // Had the connection been closed meanwhile, this would reset it, and the answer might be lost with it.
  socket.write("x".repeat(100_000));
  socket.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  await expect.poll(() => received().match(/HTTP\/1\.1 200 /g)?.length).toBe(2);
  socket.destroy();
});

test("a handler is not called with half of a request whose client went away", async () => {
  const called: string[] = [];
  await using server = await startServer({
    tasks: {
      cancelTaskExecution({ id, reason }) {
        called.push(`${id} ${reason}`);
        return {};
      },
    },
  });
  const id = "0195f7a0-0000-7000-8000-000000000000";
  // A message by itself, too, but not what the client was about to say.
  const half = Buffer.concat([Buffer.from([0x0a, id.length]), Buffer.from(id)]);
  const path = pathOf("CancelTaskExecution");
  const { data, resetStream } = frameTypes;
  const http2 = await connectRawHttp2(server.port);
  for (const [streamId, code] of [[1, 8], [3, 0], [5]] as const) {
    await http2.post(streamId, path, "application/proto");
    await http2.write(data, 0, streamId, half);
    await delay(50);
    if (code !== undefined) {
      await http2.write(resetStream, 0, streamId, Buffer.from([0, 0, 0, code]));
    }
  }
  http2.destroy();

  const { socket } = await connectRaw(server.port);
  const head = "Host: a\r\nContent-Type: application/proto\r\nTransfer-Encoding: chunked";
  socket.write(`POST ${path} HTTP/1.1\r\n${head}\r\n\r\n${half.length.toString(16)}\r\n`);
  socket.write(Buffer.concat([half, Buffer.from("\r\n")]));
  await delay(50);
  socket.destroy();

  await expect.poll(() => server.calls().map(({ code }) => code)).toEqual(Array(4).fill("canceled"));
  expect(called).toEqual([]);
});

test.each([
  ["a method", path, 405],
  ["a path that is none", "/none", 404],
  ["a probe", "/healthz", 200],
])(
  "HEAD of %s over HTTP/2 is answered with the headers alone, and then forgotten",
  async (_, asked, status) => {
    const kept = () => queryObjects(Http2ServerResponse, { format: "count" });
    const before = kept();
    for (const end of ["end", "reset"]) {
      await withSession(server.origin, async (session) => {
        const headers = { ":method": "HEAD", ":path": asked, "content-type": "application/json" };
        const response = await send(session, headers, Buffer.from("{}"), { endStream: end === "end" });
        expect(response).toMatchObject({ status, body: Buffer.alloc(0), resetCode: 0 });
        expect(Number(response.headers["content-length"])).toBeGreaterThan(0);
      });
    }
    await vi.waitFor(() => expect(kept()).toBe(before));
  },
);
