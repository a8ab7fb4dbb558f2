import { connect } from "node:http2";
import { Readable } from "node:stream";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createContextValues } from "@connectrpc/connect";
import { createAsyncIterable, encodeEnvelope } from "@connectrpc/connect/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  IngestTaskExecutionsRequestSchema,
  IngestTaskExecutionsResponseSchema,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { arrivalsOf, requestChunksKey } from "../../src/server/arrivals.ts";
import { pathOf, startServer, type TestServer } from "./server.ts";
import { errorOf, type RawResponse } from "./wire.ts";

// Streams that are not quite usual come through Connect, message by message. Here each is sent on both ways, in pieces,
// and what arrives must be the same. What makes it unusual is a content type in capitals, which means the same.
const usual = "application/grpc+proto";
const unusual = "Application/gRPC+proto";

const { ingestTaskExecutions } = TaskExecutionService.method;

let server: TestServer;
let together: number[] = [];
beforeAll(async () => {
  server = await startServer({
    limits: { readMaxBytes: 65_536 },
    tasks: {
      async *ingestTaskExecutions(requests, ctx) {
        together = [];
        for await (const items of arrivalsOf(ingestTaskExecutions, requests, ctx)) {
          let count = 0;
          for (const { sequenceNumber, request } of items) {
            count++;
            const message = `${request?.taskName.length} characters`;
            yield { acknowledgements: [{ sequenceNumber, result: { case: "error", value: { message } } }] };
          }
          together.push(count);
        }
      },
    },
  });
});
afterAll(() => server?.[Symbol.asyncDispose]());

const message = (sequenceNumber: bigint, length: number) =>
  encodeEnvelope(
    0,
    toBinary(
      IngestTaskExecutionsRequestSchema,
      create(IngestTaskExecutionsRequestSchema, {
        sequenceNumber,
        request: { taskName: "x".repeat(length) },
      }),
    ),
  );

/** Sends pieces of a body one after the other, each when the one before has arrived. */
function sendPieces(type: string, pieces: readonly Uint8Array[]): Promise<RawResponse> {
  const session = connect(server.origin);
  session.on("error", () => undefined);
  const headers = { ":path": pathOf("IngestTaskExecutions"), "content-type": type, "x-request-id": "same" };
  const stream = session.request({ ":method": "POST", ...headers });
  const chunks: Buffer[] = [];
  const response = { status: 0, headers: {}, trailers: {} };
  stream.on("response", (head) => Object.assign(response, { status: head[":status"], headers: head }));
  stream.on("trailers", (trailers) => Object.assign(response, { trailers }));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", () => undefined);
  void (async () => {
    for (const piece of pieces) {
      stream.write(piece);
      await new Promise((resolve) => session.ping(resolve));
    }
    stream.end();
  })();
  return new Promise((resolve) => {
    stream.on("close", () => {
      session.destroy();
      resolve({ ...response, body: Buffer.concat(chunks), resetCode: stream.rstCode ?? 0 });
    });
  });
}

/** Returns what a stream was answered: a line for each message that arrived, and how it ended. */
async function answersTo(type: string, pieces: readonly Uint8Array[]) {
  const response = await sendPieces(type, pieces);
  const { body } = response;
  const lines: string[] = [];
  for (let at = 0; at < body.length; at += 5 + body.readUInt32BE(at + 1)) {
    const bytes = body.subarray(at + 5, at + 5 + body.readUInt32BE(at + 1));
    for (const { sequenceNumber, result } of fromBinary(IngestTaskExecutionsResponseSchema, bytes)
      .acknowledgements) {
      lines.push(`${sequenceNumber}: ${result.case === "error" && result.value.message}`);
    }
  }
  return { lines, error: errorOf(response), status: response.trailers["grpc-status"] };
}

const three = Buffer.concat([message(1n, 1), encodeEnvelope(0, new Uint8Array(0)), message(3n, 300)]);
const bytewise = (bytes: Uint8Array) => Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
const head = (length: number) => encodeEnvelope(0, new Uint8Array(length)).subarray(0, 5);

test.each<[what: string, pieces: Uint8Array[], lines: number, reason?: string]>([
  ["no message", [], 0],
  ["messages that arrive together", [three], 3],
  ["messages that arrive byte by byte", bytewise(three), 3],
  ["messages that arrive in two halves", [three.subarray(0, 150), three.subarray(150)], 3],
  ["a head that arrives in two halves", [three.subarray(0, 10), three.subarray(10)], 3],
  ["a message as large as may be, and one after it", [message(1n, 65_526), message(2n, 1)], 2],
  ["an end in the middle of a message", [message(1n, 1), message(2n, 100).subarray(0, 50)], 1, "MALFORMED"],
  ["an end in the middle of a head", [message(1n, 1), message(2n, 100).subarray(0, 3)], 1, "MALFORMED"],
  ["bytes that are no message", [message(1n, 1), encodeEnvelope(0, new Uint8Array([0xff, 0xff]))], 1, "MALF"],
  ["a message over its limit", [head(65_537)], 0, "MESSAGE_TOO_LARGE"],
  ["a message said to be compressed", [message(1n, 1), encodeEnvelope(1, message(2n, 1))], 1, "MALFORMED"],
])("%s: the same arrives on both ways, and the same is answered", async (_, pieces, lines, reason) => {
  const short = await answersTo(usual, pieces);
  expect(await answersTo(unusual, pieces)).toEqual(short);
  expect(short.lines).toHaveLength(lines);
  expect(short.status).toMatch(reason === undefined ? /^0$/ : /^[1-9]/);
  expect(JSON.stringify(short.error) ?? "").toContain(reason ?? "");
});

test("messages that arrived together come together, unless they come through Connect", async () => {
  await answersTo(usual, [three]);
  expect(together).toEqual([3]);
  await answersTo(unusual, [three]);
  expect(together).toEqual([1, 1, 1]);
});

test("messages in frames of their own that arrive in one turn come together", async () => {
  const body = new Readable({ read: () => undefined });
  const values = createContextValues().set(requestChunksKey, { chunks: body, readMaxBytes: 1000 });
  const none = createAsyncIterable<never>([]);
  const arrivals = arrivalsOf(ingestTaskExecutions, none, { values })[Symbol.asyncIterator]();
  const countNext = async () => [...(await arrivals.next()).value].length;
  body.push(message(0n, 1));
  expect(await countNext()).toBe(1);
  const next = countNext();
  for (let number = 1n; number <= 20n; number++) {
    body.push(message(number, 1));
    await new Promise<void>((resolve) => process.nextTick(resolve));
  }
  expect(await next).toBe(20);
});
