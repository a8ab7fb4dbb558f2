import { create, toBinary } from "@bufbuild/protobuf";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GetTaskExecutionRequestSchema } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { LedgerError } from "../../src/errors.ts";
import { isShort } from "../../src/server/short-way.ts";
import { pathOf, startServer, type TestServer } from "./server.ts";
import { type RawResponse, send, withSession } from "./wire.ts";

// Calls that are not quite usual take the long way through Connect. Here each call is made on both, and the answers
// must be the same. What makes a call unusual is a content type in capitals, which means the same.
const usual = "application/grpc+proto";
const unusual = "Application/gRPC+proto";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    limits: { readMaxBytes: 65_536, writeMaxBytes: 6_000_000 },
    tasks: {
      async getTaskExecution({ lookup }, { responseHeader, responseTrailer, requestHeader, signal, url }) {
        const { taskName = "" } = lookup.case === "key" ? lookup.value : {};
        responseHeader.set("x-asked", `${requestHeader.get("x-ask")} at ${new URL(url).pathname}`);
        if (taskName === "refuse") {
          throw new LedgerError("NOT_FOUND", "no such task: 100 % sure");
        }
        if (taskName === "break") {
          throw new Error("secret");
        }
        if (taskName === "wait") {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
        }
        responseTrailer.set("x-last", "end");
        const large = { medium: 2000, huge: 7_000_000 }[taskName] ?? 1;
        return { taskExecution: { taskName, modifiedBy: "x".repeat(large) } };
      },
    },
  });
});
afterAll(() => server?.[Symbol.asyncDispose]());

function asking(taskName: string): Uint8Array {
  const key = { flowExecutionId: "0198a2b4-7c1d-7e2f-8a3b-4c5d6e7f8091", taskName };
  return toBinary(
    GetTaskExecutionRequestSchema,
    create(GetTaskExecutionRequestSchema, { lookup: { case: "key", value: key } }),
  );
}

const call = (type: string, body: Uint8Array, headers: object): Promise<RawResponse> =>
  withSession(server.origin, (session) =>
    send(
      session,
      {
        ":path": pathOf("GetTaskExecution"),
        "content-type": type,
        "x-request-id": "same",
        "x-ask": "me",
        ...headers,
      },
      body,
    ),
  );

const one = encodeEnvelope(0, asking("task"));

test.each<[what: string, body: Uint8Array, headers?: object]>([
  ["a call that succeeds", one],
  [
    "an answer that is worth compressing",
    encodeEnvelope(0, asking("medium")),
    { "grpc-accept-encoding": "br, gzip" },
  ],
  ["an answer that is not", one, { "grpc-accept-encoding": "gzip" }],
  ["an answer that the client does not take compressed", encodeEnvelope(0, asking("medium"))],
  ["an answer over its limit", encodeEnvelope(0, asking("huge"))],
  ["a refusal of the handler", encodeEnvelope(0, asking("refuse"))],
  ["a defect of the handler", encodeEnvelope(0, asking("break"))],
  ["a request that is not valid", encodeEnvelope(0, asking(""))],
  ["a deadline that passes", encodeEnvelope(0, asking("wait")), { "grpc-timeout": "50m" }],
  ["a deadline that is none", one, { "grpc-timeout": "soon" }],
  ["a deadline that has passed", one, { "grpc-timeout": "0m" }],
  ["no body", new Uint8Array(0)],
  ["half an envelope", one.subarray(0, 10)],
  ["two messages", Buffer.concat([one, one])],
  ["bytes that are no message", encodeEnvelope(0, new Uint8Array([0xff, 0xff]))],
  ["a message said to be compressed", encodeEnvelope(1, asking("task"))],
  ["a message over its limit", encodeEnvelope(0, new Uint8Array(65_537))],
  ["a compression that is not known", one, { "grpc-encoding": "snappy" }],
  ["a compression that is none", one, { "grpc-encoding": "identity" }],
])("%s is answered and logged alike on both ways", async (_, body, headers = {}) => {
  const before = server.calls().length;
  const short = await call(usual, body, headers);
  const between = server.calls().length;
  const long = await call(unusual, body, headers);
  const { date, ...shortHeaders } = short.headers;
  expect({ ...long.headers, date }).toEqual({ ...shortHeaders, date });
  expect({ ...short, headers: {} }).toEqual({ ...long, headers: {} });
  const lines = server.calls().map(({ time, duration_ms, causes, ...line }) => line);
  expect(between).toBeGreaterThan(before);
  expect(lines.slice(before, between)).toEqual(lines.slice(between));
});

test("what makes a call unusual is its content type", () => {
  const request = (type: string) =>
    ({ method: "POST", headers: { "content-type": type }, stream: {} }) as unknown as Parameters<
      typeof isShort
    >[0];
  expect(isShort(request(usual))).toBe(true);
  expect(isShort(request(unusual))).toBe(false);
});
