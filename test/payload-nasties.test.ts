import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Client as RpcClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../gen/taskledger/v1/task_execution_pb.ts";
import {
  CreateTaskExecutionRequestSchema,
  TaskExecutionService,
} from "../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultOrganizationId } from "../src/organization/bootstrap.ts";
import { openDatabase, type TestDatabase } from "./database.ts";
import { givenRun } from "./runs.ts";
import { errorOf, framings, send, withSession } from "./server/wire.ts";
import { bootstrapKey, signIn, startTestService } from "./service.ts";

// Payloads that one codec takes and another cannot read. Each is sent in each protocol, and what is taken is read
// in each: all agree, or nobody gets it in.

const string = (bytes: Uint8Array | string) => field(3, Buffer.from(bytes));
const number = (value: number) => {
  const bytes = Buffer.alloc(9);
  bytes[0] = (2 << 3) | 1;
  bytes.writeDoubleLE(value, 1);
  return bytes;
};
const list = (...items: Buffer[]) => field(6, Buffer.concat(items.map((item) => field(1, item))));
const struct = (...members: [string, Buffer][]) =>
  field(
    5,
    Buffer.concat(
      members.map(([key, value]) => field(1, Buffer.concat([field(1, Buffer.from(key)), field(2, value)]))),
    ),
  );
const nested = (depth: number) => {
  let value = list();
  for (let level = 1; level < depth; level++) {
    value = list(value);
  }
  return value;
};
const brackets = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

/** What is sent as JSON, as bytes of google.protobuf.Value, and what is read, undefined if it is refused. */
const nasties: [name: string, json: string | undefined, bytes: Buffer | undefined, stored?: string][] = [
  ["null", "null", Buffer.from([8, 0]), "null"],
  ["an empty object", "{}", struct(), "{}"],
  ["an empty list", "[]", list(), "[]"],
  ["-0", "-0", number(-0), "0"],
  ["the largest number", "1.7976931348623157e308", number(Number.MAX_VALUE), "1.7976931348623157e+308"],
  ["the smallest number", "5e-324", number(5e-324), "5e-324"],
  ["an integer past 2^53", "9007199254740993", number(9007199254740992), "9007199254740992"],
  ["1e400", "1e400", number(Number.POSITIVE_INFINITY)],
  ["-1e400", "-1e400", number(Number.NEGATIVE_INFINITY)],
  ["NaN", "NaN", number(Number.NaN)],
  ["the text NaN", '"NaN"', string("NaN"), '"NaN"'],
  ["no kind", undefined, Buffer.alloc(0)],
  ["no kind inside", undefined, list(Buffer.alloc(0))],
  ["U+0000", '"a\\u0000b"', string("a\0b")],
  ["U+0000 in a key", '{"a\\u0000b":1}', struct(["a\0b", number(1)])],
  ["half of a surrogate pair", '"\\ud800"', string(Buffer.from([0xed, 0xa0, 0x80]))],
  ["half of a surrogate pair in a key", '{"\\udc00":1}', undefined],
  ["bytes that are no UTF-8", undefined, string(Buffer.from([0xff, 0xfe]))],
  ["an emoji and a rare plane", '"😀\\ud83d\\ude00𝒳"', string("😀😀𝒳"), '"😀😀𝒳"'],
  ["composed and decomposed", '["é","e\\u0301"]', list(string("é"), string("e\u0301")), '["é","e\u0301"]'],
  [
    "line separators and a BOM",
    '"\\u2028\\u2029\\ufeff"',
    string("\u2028\u2029\ufeff"),
    '"\u2028\u2029\ufeff"',
  ],
  ["noncharacters", '"\\uffff\\ufdd0\\ufffd"', string("\uffff\ufdd0\ufffd"), '"\uffff\ufdd0\ufffd"'],
  [
    "control characters",
    '"\\u0001\\u007f\\t\\r\\n"',
    string("\u0001\u007f\t\r\n"),
    '"\\u0001\u007f\\t\\r\\n"',
  ],
  ["a key __proto__", '{"__proto__":1}', struct(["__proto__", number(1)]), '{"__proto__":1}'],
  ["a key constructor", '{"constructor":{}}', struct(["constructor", struct()]), '{"constructor":{}}'],
  ["an empty key", '{"":""}', struct(["", string("")]), '{"":""}'],
  ["30 levels", brackets(30), nested(30), brackets(30)],
  ["31 levels", brackets(31), nested(31)],
  ["99 levels", brackets(99), nested(99)],
  ["2000 levels", brackets(2000), nested(2000)],
  [
    "a text that is SQL",
    '"\'; drop table event; --$1?"',
    string("'; drop table event; --$1?"),
    '"\'; drop table event; --$1?"',
  ],
];

describe("a payload", () => {
  let database: TestDatabase;
  let service: Awaited<ReturnType<typeof startTestService>>;
  let readers: Record<string, RpcClient<typeof TaskExecutionService>>;
  let flowExecutionId: string;

  beforeAll(async () => {
    database = await openDatabase();
    service = await startTestService(database.serviceUrl);
    const node = { baseUrl: service.origin, interceptors: [signIn()] };
    const transports = {
      grpc: createGrpcTransport(node),
      "grpc-web": createGrpcWebTransport({ ...node, httpVersion: "2" }),
      "connect binary": createConnectTransport({ ...node, httpVersion: "2" }),
      "connect JSON": createConnectTransport({ ...node, httpVersion: "2", useBinaryFormat: false }),
    };
    readers = Object.fromEntries(
      Object.entries(transports).map(([name, transport]) => [
        name,
        createClient(TaskExecutionService, transport),
      ]),
    );
  });
  beforeEach(async () => {
    ({ flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]));
  });
  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await database?.close();
  });

  /** Sends a create with a payload as it is and returns "ok" or the code of the error. */
  async function sendRaw(type: string, body: Uint8Array): Promise<string> {
    const headers = {
      ":path": `/${TaskExecutionService.typeName}/CreateTaskExecution`,
      "content-type": type,
      authorization: `Bearer ${bootstrapKey}`,
    };
    const response = await withSession(service.origin, (session) => send(session, headers, body));
    return errorOf(response)?.code ?? "ok";
  }

  async function read(taskExecutionIdx: number): Promise<Record<string, string>> {
    const key = { flowExecutionId, taskName: "task", taskExecutionIdx };
    const seen = await Promise.all(
      Object.entries(readers).map(async ([name, client]) => {
        try {
          const { taskExecution } = await client.getTaskExecution({ lookup: { case: "key", value: key } });
          return [name, toJsonString(ValueSchema, taskExecution!.input!)];
        } catch (error) {
          return [name, Code[ConnectError.from(error).code]!];
        }
      }),
    );
    return Object.fromEntries(seen);
  }

  const everywhere = (value: string) => Object.fromEntries(Object.keys(readers).map((name) => [name, value]));

  test.each(nasties)(
    "of %s is the same in all protocols, or refused in all",
    async (_, json, bytes, stored) => {
      let idx = 0;
      const bodies: [string, (idx: number) => [type: string, body: Uint8Array]][] = [];
      if (bytes !== undefined) {
        for (const [name, { type, frame }] of Object.entries(framings)) {
          const head = (taskExecutionIdx: number) => ({
            flowExecutionId,
            taskName: "task",
            taskExecutionIdx,
            status: Status.QUEUED,
          });
          bodies.push([
            name,
            (at) => {
              const message = toBinary(
                CreateTaskExecutionRequestSchema,
                create(CreateTaskExecutionRequestSchema, head(at)),
              );
              return [type, frame(Buffer.concat([message, field(5, bytes)]))];
            },
          ]);
        }
      }
      if (json !== undefined) {
        bodies.push([
          "connect JSON",
          (at) => [
            "application/json",
            Buffer.from(
              `{"flowExecutionId":"${flowExecutionId}","taskName":"task","taskExecutionIdx":${at},"status":"STATUS_QUEUED","input":${json}}`,
            ),
          ],
        ]);
      }
      for (const [name, bodyOf] of bodies) {
        idx++;
        const outcome = await sendRaw(...bodyOf(idx));
        expect([name, outcome]).toEqual([name, stored === undefined ? "InvalidArgument" : "ok"]);
        expect(await read(idx)).toEqual(everywhere(stored ?? "NotFound"));
      }
    },
  );
});

/** Encodes a field of a length and bytes. */
function field(no: number, bytes: Uint8Array): Buffer {
  const head = [(no << 3) | 2];
  let length = bytes.length;
  while (length > 127) {
    head.push((length & 127) | 128);
    length >>>= 7;
  }
  return Buffer.concat([Buffer.from([...head, length]), bytes]);
}
