import { create, type DescMessage, equals, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import type { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  BatchCreateTaskExecutionsRequestSchema as BatchSchema,
  IngestTaskExecutionsRequestSchema as ItemSchema,
  CreateTaskExecutionRequestSchema as RequestSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { decodeRequest } from "../../src/payload/decode-request.ts";
import { fromJson, toPayloadText } from "../../src/payload/payload.ts";
import { readPayloadText } from "../../src/payload/payload-bytes.ts";
import { ReadPayload } from "../../src/payload/read-payload.ts";
import type { Json } from "../../src/template/json.ts";

/** Returns numbers that look random, the same each time. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const texts = [
  "",
  "a",
  "plain text",
  'a "quote"\\',
  "line\nbreak\t",
  "é",
  "😀",
  "\u2028\ufeff",
  "\u007f",
  "x".repeat(300),
];
const keys = ["", "a", "b", "ab", "10", "9", "A", "__proto__", "constructor", "z".repeat(130), 'q"', "é"];
const numbers = [0, -0, 1, -1.5, 48_211, 1e21, 5e-324, Number.MAX_VALUE, 2 ** 53];

function randomJson(random: (below: number) => number, depth = 0): Json {
  const pick = <T>(list: readonly T[]) => list[random(list.length)]!;
  switch (random(depth > 3 ? 4 : 7)) {
    case 0:
      return null;
    case 1:
      return random(2) === 1;
    case 2:
      return pick(numbers);
    case 3:
      return pick(texts);
    case 4:
      return Array.from({ length: random(5) }, () => randomJson(random, depth + 1));
    default: {
      // Mostly keys that are read here.
      const some = keys.slice(0, random(8) === 0 ? keys.length : 10);
      const members = Array.from({ length: random(6) }, () => [pick(some), randomJson(random, depth + 1)]);
      return Object.fromEntries(members);
    }
  }
}

function encode(value: Value): Buffer {
  return Buffer.from(toBinary(ValueSchema, value));
}

function textOf(bytes: Buffer): string | undefined {
  return readPayloadText(bytes, 0, bytes.length);
}

/** Changes, adds or removes some bytes. */
function damage(bytes: Buffer, random: (below: number) => number): Buffer {
  let damaged = Buffer.from(bytes);
  for (let times = 1 + random(2); times > 0; times--) {
    const place = random(damaged.length + 1);
    const kind = random(4);
    const inserted = kind === 0 ? [] : [random(2) === 0 ? random(256) : random(64)];
    damaged = Buffer.concat([
      damaged.subarray(0, place),
      Buffer.from(inserted),
      damaged.subarray(place + (kind === 1 ? 0 : 1)),
    ]);
  }
  return damaged;
}

function outcomeOf<T>(run: () => T): { value: T } | { failed: true } {
  try {
    return { value: run() };
  } catch {
    return { failed: true };
  }
}

describe("the text of an encoded payload", () => {
  it.each([
    [{ b: [1, "x", null], a: { d: true, c: false } }, '{"a":{"c":false,"d":true},"b":[1,"x",null]}'],
    [{ note: 'é "😀"\n', n: -0 }, '{"n":0,"note":"é \\"😀\\"\\n"}'],
    ["", '""'],
    [[[], {}], "[[],{}]"],
  ])("is read without decoding: %j", (json, text) => {
    expect(textOf(encode(fromJson(json)))).toBe(text);
  });

  it("is that of the decoded payload, for all kinds of payloads", () => {
    const random = createRandom(1);
    let read = 0;
    for (let times = 0; times < 3000; times++) {
      const value = fromJson(randomJson(random));
      const text = textOf(encode(value));
      if (text !== undefined) read++;
      expect([undefined, toPayloadText(value, "input")]).toContain(text);
    }
    expect(read).toBeGreaterThan(2000);
  });

  it("is that of the decoded payload, or not read, whatever bytes are damaged", () => {
    const random = createRandom(2);
    let read = 0;
    for (let times = 0; times < 20_000; times++) {
      const bytes = damage(encode(fromJson(randomJson(random))), random);
      const text = textOf(bytes);
      if (text === undefined) continue;
      read++;
      expect(toPayloadText(fromBinary(ValueSchema, bytes), "input")).toBe(text);
    }
    expect(read).toBeGreaterThan(1000);
  });

  it("is not read of one that breaks a limit, is large or has many keys", () => {
    const nested = (depth: number): Json => (depth === 0 ? 1 : [nested(depth - 1)]);
    expect(textOf(encode(fromJson(nested(30))))).toBe(`${"[".repeat(30)}1${"]".repeat(30)}`);
    const members = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, i]));
    for (const json of [nested(31), "x".repeat(8200), members(33)]) {
      expect(textOf(encode(fromJson(json)))).toBeUndefined();
    }
    expect(textOf(Buffer.from([0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f]))).toBeUndefined();
    expect(textOf(encode(fromJson("a\0b")))).toBeUndefined();
  });
});

describe("a decoded request", () => {
  const expectSame = <Desc extends DescMessage>(schema: Desc, bytes: Buffer) => {
    const own = outcomeOf(() => decodeRequest(schema, bytes) as Message);
    const library = outcomeOf(() => fromBinary(schema, bytes) as Message);
    if ("failed" in library || "failed" in own) {
      expect(own).toEqual(library);
    } else {
      // By their bytes: a number that is none equals nothing.
      expect(toBinary(schema as DescMessage, own.value)).toEqual(
        toBinary(schema as DescMessage, library.value),
      );
    }
  };

  const randomRequest = (random: (below: number) => number) =>
    create(RequestSchema, {
      flowExecutionId: "0190a0b0-1111-7111-8111-111111111111",
      taskName: texts[random(texts.length)]!,
      taskExecutionIdx: random(1000),
      status: random(5) as Status,
      ...(random(4) > 0 && { input: fromJson(randomJson(random)) }),
      ...(random(2) > 0 && { output: fromJson(randomJson(random)) }),
      ...(random(4) === 0 && { error: { message: "m", type: "t", traceback: "" } }),
      ...(random(4) === 0 && { endTime: { seconds: 5n, nanos: 7 } }),
    });

  it("holds the text of its payloads, and what is in them", () => {
    const request = create(RequestSchema, { taskName: "t", input: fromJson({ b: 1, a: "x" }) });
    const bytes = Buffer.from(toBinary(BatchSchema, create(BatchSchema, { requests: [request, request] })));
    const item = Buffer.from(toBinary(ItemSchema, create(ItemSchema, { sequenceNumber: 7n, request })));
    const requests = [
      ...decodeRequest(BatchSchema, bytes).requests,
      decodeRequest(ItemSchema, item).request!,
    ];
    for (const { input } of requests) {
      expect(input).toBeInstanceOf(ReadPayload);
      expect(toPayloadText(input!, "input")).toBe('{"a":"x","b":1}');
      expect(equals(ValueSchema, input!, request.input!)).toBe(true);
    }
  });

  it("is what the library decodes, alone and among others", () => {
    const random = createRandom(3);
    for (let times = 0; times < 500; times++) {
      const requests = Array.from({ length: random(4) }, () => randomRequest(random));
      for (const request of requests) {
        expectSame(RequestSchema, Buffer.from(toBinary(RequestSchema, request)));
        const item = create(ItemSchema, { sequenceNumber: BigInt(times), request });
        expectSame(ItemSchema, Buffer.from(toBinary(ItemSchema, item)));
      }
      expectSame(BatchSchema, Buffer.from(toBinary(BatchSchema, create(BatchSchema, { requests }))));
    }
  });

  it("is what the library decodes, whatever bytes are damaged", () => {
    const random = createRandom(4);
    for (let times = 0; times < 5000; times++) {
      const requests = [randomRequest(random), randomRequest(random)];
      expectSame(RequestSchema, damage(Buffer.from(toBinary(RequestSchema, requests[0]!)), random));
      const item = create(ItemSchema, { sequenceNumber: BigInt(times), request: requests[0]! });
      expectSame(ItemSchema, damage(Buffer.from(toBinary(ItemSchema, item)), random));
      expectSame(
        BatchSchema,
        damage(Buffer.from(toBinary(BatchSchema, create(BatchSchema, { requests }))), random),
      );
    }
  });

  it("is refused if the library refuses a length in more bytes than it needs", () => {
    for (const zeros of [1, 3, 4, 9, 12]) {
      const length = Buffer.from([0x82, ...Array(zeros - 1).fill(0x80), 0]);
      expectSame(RequestSchema, Buffer.concat([Buffer.from([0x2a]), length, Buffer.from([0x20, 1])]));
    }
  });

  it("puts together a payload that is there twice", () => {
    const part = (json: Json) =>
      Buffer.from(toBinary(RequestSchema, create(RequestSchema, { input: fromJson(json) })));
    expectSame(RequestSchema, Buffer.concat([part({ a: 1 }), part({ b: 2 })]));
    expectSame(RequestSchema, Buffer.concat([part({ a: 1 }), part("x".repeat(9000))]));
    expectSame(RequestSchema, Buffer.concat([part("x".repeat(9000)), part({ a: 1 })]));
    const item = (json: Json) =>
      Buffer.from(toBinary(ItemSchema, create(ItemSchema, { request: { input: fromJson(json) } })));
    expectSame(ItemSchema, Buffer.concat([item({ a: 1 }), item({ b: 2 })]));
  });
});
