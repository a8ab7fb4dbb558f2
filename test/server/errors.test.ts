import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import {
  GetTaskExecutionRequestSchema,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { LedgerError } from "../../src/errors.ts";
import { pathOf, startServer, type TestServer } from "./server.ts";
import { errorOf, framings, reasonOf, type SeenError, seen, send, withSession } from "./wire.ts";

const id = "0195f7a0-0000-7000-8000-000000000000";
const requestId = "test-1";
let server: TestServer;
let transports: Record<string, Transport>;

beforeAll(async () => {
  server = await startServer({
    toLedgerError: (error) =>
      error instanceof Error && error.message === "database away"
        ? new LedgerError("DATABASE_UNAVAILABLE", "the database is not available; repeat the request", {
            retryAfterMs: 1500,
            cause: error,
          })
        : undefined,
    tasks: {
      getTaskExecution({ lookup }) {
        switch (lookup.value) {
          case id.replace(/.$/, "1"):
            throw new LedgerError("ETAG_OUT_OF_DATE", "Grüße\n世界: \ud800 it has changed", {
              metadata: { etag: "ä\u0000b" },
              violations: [{ field: "etag", description: "is old" }],
              retryAfterMs: 250,
              cause: new Error("secret"),
            });
          case id.replace(/.$/, "2"):
            throw new TypeError("secret");
          case id.replace(/.$/, "3"):
            throw new Error("database away");
          case id.replace(/.$/, "4"):
            throw new ConnectError("secret", Code.DataLoss);
          case id.replace(/.$/, "5"):
            // Cannot be serialized: it is no number.
            return { taskExecution: { createTime: { seconds: "secret" as unknown as bigint } } };
          case id.replace(/.$/, "6"):
            return { taskExecution: { taskName: "x".repeat(9 * 2 ** 20) } };
          default:
            return {};
        }
      },
      listTaskExecutions: (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", reject)),
    },
  });
  const options = {
    baseUrl: server.origin,
    httpVersion: "2",
    interceptors: [
      (next) => (req) => {
        req.header.set("x-request-id", requestId);
        return next(req);
      },
    ],
  } satisfies Parameters<typeof createConnectTransport>[0];
  transports = {
    gRPC: createGrpcTransport(options),
    "gRPC with JSON": createGrpcTransport({ ...options, useBinaryFormat: false }),
    "gRPC-Web": createGrpcWebTransport(options),
    "gRPC-Web over HTTP/1.1": createGrpcWebTransport({ ...options, httpVersion: "1.1" }),
    "Connect with JSON": createConnectTransport({ ...options, useBinaryFormat: false }),
    "Connect binary": createConnectTransport({ ...options, useBinaryFormat: true }),
    "Connect over HTTP/1.1": createConnectTransport({ ...options, httpVersion: "1.1" }),
    "Connect GET": createConnectTransport({ ...options, useHttpGet: true }),
    "Connect compressed": createConnectTransport({ ...options, compressMinBytes: 0 }),
  };
});
afterAll(() => server[Symbol.asyncDispose]());

const info = (reason: string, metadata?: Record<string, string>) => ({
  reason: `ERROR_REASON_${reason}`,
  domain: "taskledger",
  ...(metadata && { metadata }),
});
const expected: [what: string, id: string, error: SeenError][] = [
  [
    "a request that breaks a rule",
    "nope",
    {
      code: "InvalidArgument",
      message: "id: must be a valid UUID",
      details: [
        info("VALIDATION_FAILED"),
        { requestId },
        { fieldViolations: [{ field: "id", description: "must be a valid UUID" }] },
      ],
    },
  ],
  [
    "an error with everything",
    id.replace(/.$/, "1"),
    {
      code: "Aborted",
      message: "Grüße\n世界: � it has changed",
      details: [
        info("ETAG_OUT_OF_DATE", { etag: "ä\u0000b" }),
        { requestId },
        { fieldViolations: [{ field: "etag", description: "is old" }] },
        { retryDelay: "0.250s" },
      ],
    },
  ],
  ...["2", "4", "5"].map((digit): [string, string, SeenError] => [
    {
      "2": "a defect",
      "4": "an error of Connect's that nobody explains",
      "5": "a response that cannot be written",
    }[digit] ?? "",
    id.replace(/.$/, digit),
    {
      code: "Internal",
      message: "internal error; report it with the request id",
      details: [info("INTERNAL"), { requestId }],
    },
  ]),
  [
    "an error of the database",
    id.replace(/.$/, "3"),
    {
      code: "Unavailable",
      message: "the database is not available; repeat the request",
      details: [info("DATABASE_UNAVAILABLE"), { requestId }, { retryDelay: "1.500s" }],
    },
  ],
  [
    "a response over its limit",
    id.replace(/.$/, "6"),
    {
      code: "ResourceExhausted",
      message: "the response is larger than 8388608 bytes; ask for less at once",
      details: [info("MESSAGE_TOO_LARGE", { limit: "8388608" }), { requestId }],
    },
  ],
];

describe.each(expected)("%s", (_, id, error) => {
  test.each([
    "gRPC",
    "gRPC with JSON",
    "gRPC-Web",
    "gRPC-Web over HTTP/1.1",
    "Connect with JSON",
    "Connect binary",
    "Connect over HTTP/1.1",
    "Connect GET",
    "Connect compressed",
  ])("looks the same through %s", async (name) => {
    const client = createClient(TaskExecutionService, transports[name]!);
    const thrown = await client
      .getTaskExecution({ lookup: { case: "id", value: id } })
      .catch((reason: unknown) => ConnectError.from(reason));
    expect(thrown).toBeInstanceOf(ConnectError);
    expect(seen(thrown as ConnectError)).toEqual(error);
    expect((thrown as ConnectError).metadata.get("x-request-id")).toBe(requestId);
  });
});

test.each(["gRPC", "gRPC-Web", "Connect with JSON", "Connect binary", "Connect over HTTP/1.1"])(
  "a deadline that passes looks the same through %s, whoever notices first",
  async (name) => {
    const client = createClient(TaskExecutionService, transports[name]!);
    // Set by hand, so that the client itself waits.
    const headers = { "grpc-timeout": "50m", "connect-timeout-ms": "50" };
    const thrown = await client
      .listTaskExecutions({}, { headers })
      .catch((reason: unknown) => ConnectError.from(reason));
    expect(seen(thrown as ConnectError)).toEqual({
      code: "DeadlineExceeded",
      message: "the deadline passed before the request was done",
      details: [info("DEADLINE_EXCEEDED"), { requestId }],
    });
  },
);

test.each(["gRPC", "gRPC-Web", "Connect with JSON", "Connect over HTTP/1.1"])(
  "a stream's deadline ends it with the same error through %s",
  async (name) => {
    const client = createClient(Health, transports[name]!);
    const statuses: number[] = [];
    const watch = async () => {
      const headers = { "grpc-timeout": "80m", "connect-timeout-ms": "80" };
      for await (const { status } of client.watch({}, { headers })) {
        statuses.push(status);
      }
    };
    const thrown = await watch().catch((reason: unknown) => ConnectError.from(reason));
    expect(statuses).toHaveLength(1);
    expect(seen(thrown as ConnectError)).toEqual({
      code: "DeadlineExceeded",
      message: "the deadline passed before the request was done",
      details: [info("DEADLINE_EXCEEDED"), { requestId }],
    });
  },
);

describe.each(Object.entries(framings))("through %s", (_, { type, frame }) => {
  const valid = toBinary(
    GetTaskExecutionRequestSchema,
    create(GetTaskExecutionRequestSchema, { lookup: { case: "id", value: id } }),
  );
  const headers = { ":path": pathOf("GetTaskExecution"), "content-type": type, "x-request-id": requestId };
  const encodingHeader = type === "application/proto" ? "content-encoding" : "grpc-encoding";
  const timeoutHeader = type === "application/proto" ? "connect-timeout-ms" : "grpc-timeout";
  const call = (body: Uint8Array, extra: Record<string, string> = {}) =>
    withSession(server.origin, async (session) =>
      errorOf(await send(session, { ...headers, ...extra }, body)),
    );
  const compressed = (bytes: Uint8Array) => (type === "application/proto" ? bytes : encodeEnvelope(1, bytes));

  test.each<[string, Uint8Array, Record<string, string>, string, string]>([
    [
      "bytes that are no message",
      frame(Buffer.from([0x0a, 0xff])),
      {},
      "REQUEST_MALFORMED",
      "the request is not a valid taskledger.v1.GetTaskExecutionRequest: ",
    ],
    [
      "a method that does not exist",
      frame(valid),
      { ":path": pathOf("Nope") },
      "METHOD_UNKNOWN",
      "no such method; ask grpc.reflection.v1.ServerReflection for those there are",
    ],
    [
      "a message over its limit",
      frame(new Uint8Array(5 * 2 ** 20)),
      {},
      "MESSAGE_TOO_LARGE",
      "the request is larger than ",
    ],
    [
      "a message over its limit once decompressed",
      compressed(gzipSync(new Uint8Array(5 * 2 ** 20))),
      { [encodingHeader]: "gzip" },
      "MESSAGE_TOO_LARGE",
      "the request is larger than 4194304 bytes",
    ],
    [
      "a compression that we do not know",
      compressed(valid),
      { [encodingHeader]: "br" },
      "REQUEST_MALFORMED",
      'the request is compressed with "br"; send it with gzip or without compression',
    ],
    [
      "a message that is not compressed as it says",
      compressed(valid),
      { [encodingHeader]: "gzip" },
      "REQUEST_MALFORMED",
      "the request cannot be decompressed with gzip",
    ],
    [
      "a negative deadline",
      frame(valid),
      { [timeoutHeader]: "-1" },
      "REQUEST_MALFORMED",
      "the deadline is not valid: ",
    ],
    [
      "a deadline of nothing",
      frame(valid),
      { [timeoutHeader]: type === "application/proto" ? "0" : "0S" },
      "DEADLINE_EXCEEDED",
      "the deadline passed before the request was done",
    ],
  ])("%s is explained in the one shape", async (_, body, extra, reason, message) => {
    const error = await call(body, extra);
    expect(reasonOf(error)).toBe(reason);
    expect(error?.message.startsWith(message), error?.message).toBe(true);
    expect(error?.details).toContainEqual({ requestId });
  });
});

test.each([
  [
    "JSON",
    "application/json",
    '{"id":',
    "the request is not valid JSON for taskledger.v1.GetTaskExecutionRequest: ",
  ],
  [
    "a field of another type",
    "application/json",
    '{"id":[1]}',
    "the request is not valid JSON for taskledger.v1.GetTaskExecutionRequest: cannot decode field",
  ],
  ["a content type", "text/plain", "{}", 'the content type "text/plain" is not known; send application/json'],
  [
    "JSON in gRPC",
    "application/grpc+json",
    encodeEnvelope(0, Buffer.from("[")),
    "the request is not valid JSON for taskledger.v1.GetTaskExecutionRequest: ",
  ],
  [
    "half an envelope",
    "application/grpc",
    new Uint8Array([0, 0, 0, 0, 9, 1]),
    "the request ended in the middle of a message",
  ],
  ["nothing", "application/grpc", undefined, "the request holds no taskledger.v1.GetTaskExecutionRequest"],
  [
    "two messages",
    "application/grpc",
    new Uint8Array(10),
    "the request holds more than one taskledger.v1.GetTaskExecutionRequest",
  ],
  [
    "a flag without a header",
    "application/grpc",
    encodeEnvelope(1, new Uint8Array(3)),
    "a message is compressed, but no header says how",
  ],
])("%s that is not right is explained", async (_, type, body, message) => {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const headers = { ":path": pathOf("GetTaskExecution"), "content-type": type };
  const error = await withSession(server.origin, async (session) =>
    errorOf(await send(session, headers, bytes)),
  );
  expect(reasonOf(error)).toBe("REQUEST_MALFORMED");
  expect(error?.message).toContain(message);
});

test.each([
  ["message=@@@&base64=1&encoding=proto", "the query parameter message is not base64"],
  ["message=%7B&encoding=json", "the request is not valid JSON for taskledger.v1.GetTaskExecutionRequest: "],
  ["message=%7B%7D", "the content type"],
])("a Connect GET with %s is explained", async (query, message) => {
  const response = await fetch(`${server.origin}${pathOf("GetTaskExecution")}?${query}`);
  const { message: received } = (await response.json()) as { message: string };
  expect(received).toContain(message);
});

test("a stream's bytes that are no message are explained in the middle of it", async () => {
  const headers = {
    ":path": "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "content-type": "application/grpc",
  };
  const listServices = encodeEnvelope(0, new Uint8Array([0x3a, 0x00]));
  const body = Buffer.concat([listServices, encodeEnvelope(0, new Uint8Array([0x3a, 0xff]))]);
  const response = await withSession(server.origin, (session) => send(session, headers, body));
  expect(response.body.length).toBeGreaterThan(100);
  expect(reasonOf(errorOf(response))).toBe("REQUEST_MALFORMED");
});

test("no error says what only the log may know", async () => {
  const client = createClient(TaskExecutionService, transports["gRPC"]!);
  const thrown = await client
    .getTaskExecution({ lookup: { case: "id", value: id.replace(/.$/, "2") } })
    .catch((reason: unknown) => ConnectError.from(reason));
  expect(JSON.stringify([thrown, seen(thrown as ConnectError)])).not.toContain("secret");
  const line = server.calls().findLast(({ code }) => code === "internal");
  expect(line).toMatchObject({ level: 50, request_id: requestId, reason: "INTERNAL" });
  expect(line?.["causes"]).toMatchObject([{ type: "TypeError", message: "secret" }]);
});
