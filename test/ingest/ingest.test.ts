import { setImmediate as nextTurn } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  type IngestTaskExecutionsRequest,
  IngestTaskExecutionsRequestSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { createApp } from "../../src/app.ts";
import { LedgerError } from "../../src/errors.ts";
import { type IngestDeps, ingest } from "../../src/ingest/ingest.ts";
import { defaultIngestLimits, type IngestLimits } from "../../src/ingest/ingest-limits.ts";
import { IngestRoom } from "../../src/ingest/ingest-room.ts";
import { defaultLimits } from "../../src/server/limits.ts";
import type { Change, Report } from "../../src/task-execution/changes.ts";
import type { CoalescedWrites } from "../../src/task-execution/coalesced-writes.ts";
import { callerFrom, nameIn } from "../client.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { createOutbox } from "./outbox.ts";

// The stream by itself, in front of a write path that is busy, slow or broken when a test says so.

let database: TestDatabase;
let organizationId: string;
let writes: CoalescedWrites;
beforeAll(async () => {
  database = await openDatabase();
  organizationId = await givenOrganization(database.orm);
  ({ writes } = createApp({
    orm: database.orm,
    authenticate: async () => undefined,
    log: pino({ level: "silent" }),
    readiness: { isReady: () => true, subscribe: () => {} },
  }));
});
afterAll(() => database.close());

type Before = (report: Report) => Promise<void> | void;

interface Options {
  /** Stands before the write path: may wait, or throw. */
  readonly before?: Before;
  readonly limits?: Partial<IngestLimits>;
  readonly room?: IngestRoom;
  readonly onDefect?: IngestDeps["onDefect"];
  readonly organizationId?: string;
}

/** Opens a stream of items to be sent by the test, and reads it. */
function open({ before = () => undefined, ...options }: Options = {}) {
  const limits = { ...defaultIngestLimits, ...options.limits };
  const room = options.room ?? new IngestRoom(defaultLimits, limits);
  const closing = new AbortController();
  const over = new AbortController();
  const outbox = createOutbox<IngestTaskExecutionsRequest[]>();
  const begun: string[] = [];
  const requests: number[] = [];
  const words: string[] = [];
  const messages: number[] = [];
  const apply: CoalescedWrites["apply"] = async (request) => {
    const reports = request.changes as readonly (Report & Change)[];
    for (const report of reports) begun.push(`${report.taskExecutionIdx} ${report.status}`);
    requests.push(reports.length);
    for (const report of reports) await before(report);
    return writes.apply(request);
  };
  const organization = options.organizationId ?? organizationId;
  const responses = ingest(
    {
      writes: { apply },
      room,
      limits,
      closing: closing.signal,
      onDefect: options.onDefect ?? (() => undefined),
    },
    {
      author: { caller: callerFrom(organization), requestId: "test" },
      signal: over.signal,
      recheck: async () => undefined,
    },
    outbox,
  );
  const read = async (): Promise<string> => {
    try {
      for await (const { acknowledgements } of responses) {
        messages.push(acknowledgements.length);
        for (const { sequenceNumber, result } of acknowledgements) {
          const word =
            result.case === "response"
              ? nameIn(Outcome, result.value.outcome)
              : Code[result.value?.code ?? 0];
          words.push(`${sequenceNumber} ${word}`);
        }
      }
      return "ok";
    } catch (error) {
      return error instanceof LedgerError ? error.problem : String(ConnectError.from(error));
    } finally {
      over.abort();
    }
  };
  let number = 0n;
  return {
    room,
    begun,
    requests,
    words,
    messages,
    closing,
    over,
    outbox,
    read,
    /** Sends items that arrive together. */
    send(...items: MessageInitShape<typeof IngestTaskExecutionsRequestSchema>["request"][]) {
      outbox.send(
        items.map((request) =>
          create(IngestTaskExecutionsRequestSchema, {
            sequenceNumber: ++number,
            ...(request && { request }),
          }),
        ),
      );
    },
  };
}

const givenKeys = async (count: number, of = organizationId) => {
  const { flowExecutionId } = await givenRun(database.orm, of, ["task"]);
  return Array.from({ length: count }, (_, taskExecutionIdx) => ({
    flowExecutionId,
    taskName: "task",
    taskExecutionIdx,
  }));
};

const busy = (retryAfterMs = 20) => new LedgerError("TOO_MANY_REQUESTS", "busy", { retryAfterMs });

/** Something that is waited for until it is opened. */
function createGate() {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

test("items of a run that arrive together are one request, but for those that wait for one of their key", async () => {
  const [first, second, third] = await Promise.all([givenKeys(4), givenKeys(3), givenKeys(2)]);
  const stream = open();
  const queued = [...first, ...second].map((key) => ({ ...key, status: Status.QUEUED }));
  stream.send(...queued, ...first.map((key) => ({ ...key, status: Status.RUNNING })));
  stream.send(...third.map((key) => ({ ...key, status: Status.QUEUED })));
  stream.outbox.end();
  expect(await stream.read()).toBe("ok");
  expect(stream.requests).toEqual([4, 3, 2, 4]);
  expect(stream.words.filter((word) => word.endsWith("CREATED"))).toHaveLength(9);
  expect(stream.words.filter((word) => word.endsWith("UPDATED"))).toHaveLength(4);
});

test("an item that the service is too busy for is not refused, and no later one of its key overtakes it", async () => {
  const keys = await givenKeys(10);
  let refusals = 0;
  const stream = open({
    before({ taskExecutionIdx }) {
      if (refusals < 25 && taskExecutionIdx % 2 === 0) {
        refusals++;
        throw busy();
      }
    },
  });
  stream.send(...keys.map((key) => ({ ...key, status: Status.QUEUED })));
  stream.send(...keys.map((key) => ({ ...key, status: Status.RUNNING })));
  stream.send(...keys.map((key) => ({ ...key, status: Status.COMPLETED })));
  stream.outbox.end();
  expect(await stream.read()).toBe("ok");
  expect(refusals).toBe(25);
  expect(stream.words.filter((word) => word.endsWith("CREATED"))).toHaveLength(10);
  expect(stream.words.filter((word) => word.endsWith("UPDATED"))).toHaveLength(20);
});

test("while the service is busy, no item is begun", async () => {
  const keys = await givenKeys(50);
  let refusals = 0;
  const stream = open({
    before() {
      if (refusals++ === 0) throw busy(300);
    },
  });
  const read = stream.read();
  stream.send({ ...keys[0]!, status: Status.QUEUED });
  await expect.poll(() => refusals).toBe(1);
  stream.send(...keys.slice(1).map((key) => ({ ...key, status: Status.QUEUED })));
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  expect(stream.begun).toEqual(["0 queued"]);
  stream.outbox.end();
  expect(await read).toBe("ok");
  expect(stream.words).toHaveLength(50);
});

test("a service that stays too busy ends the stream, and what was not written is not acknowledged", async () => {
  const [good, bad, ...rest] = await givenKeys(10);
  const stream = open({
    limits: { retryMs: 100 },
    before({ taskExecutionIdx }) {
      if (taskExecutionIdx === 1) throw busy();
    },
  });
  stream.send({ ...good!, status: Status.QUEUED });
  stream.send({ ...bad!, status: Status.QUEUED }, { ...bad!, status: Status.RUNNING });
  stream.send(...rest.map((key) => ({ ...key, status: Status.QUEUED })));
  expect(await stream.read()).toBe("TOO_MANY_REQUESTS");
  expect(stream.words).toContain("1 CREATED");
  expect(stream.words.filter((word) => /^[23] /.test(word))).toEqual([]);
  // Not after the earlier one of its key was given up.
  expect(stream.begun).not.toContain("1 running");
  expect(stream.room.figures).toEqual({ streams: 0, bytes: 0 });
});

test("an item that others keep in the way of waits alone", async () => {
  const [slow, ...rest] = await givenKeys(10);
  let refusals = 0;
  const gate = createGate();
  const stream = open({
    async before({ taskExecutionIdx }) {
      if (taskExecutionIdx === 0 && refusals++ < 5) {
        if (refusals === 5) await gate.opened;
        throw new LedgerError("CONTENTION", "contention", { retryAfterMs: 5 });
      }
    },
  });
  const read = stream.read();
  stream.send(...[slow!, ...rest].map((key) => ({ ...key, status: Status.QUEUED })));
  await expect.poll(() => stream.words.length).toBe(9);
  gate.open();
  stream.outbox.end();
  expect(await read).toBe("ok");
  expect(stream.words.at(-1)).toBe("1 CREATED");
});

test("an item that fails for a reason of our own fails alone, and the reason is told to the log only", async () => {
  const keys = await givenKeys(3);
  const told: unknown[] = [];
  const stream = open({
    onDefect: (error) => told.push(error),
    before({ taskExecutionIdx }) {
      if (taskExecutionIdx === 1) throw new TypeError("secret");
    },
  });
  stream.send(...keys.map((key) => ({ ...key, status: Status.QUEUED })));
  stream.outbox.end();
  expect(await stream.read()).toBe("ok");
  expect(stream.words.sort()).toEqual(["1 CREATED", "2 Internal", "3 CREATED"]);
  expect(told).toEqual([new TypeError("secret")]);
});

test("a database that is away ends the stream after what is on its way", async () => {
  const keys = await givenKeys(6);
  const gate = createGate();
  const stream = open({
    async before({ taskExecutionIdx }) {
      if (taskExecutionIdx === 3)
        throw new LedgerError("DATABASE_UNAVAILABLE", "away", { retryAfterMs: 1000 });
      await gate.opened;
    },
  });
  const read = stream.read();
  for (const key of keys) stream.send({ ...key, status: Status.QUEUED });
  await expect.poll(() => stream.begun).toContain("3 queued");
  gate.open();
  expect(await read).toBe("DATABASE_UNAVAILABLE");
  expect(stream.words.map((word) => Number.parseInt(word, 10))).not.toContain(4);
  expect(stream.words).toHaveLength(stream.begun.length - 1);
});

test("no more items are taken than may be held", async () => {
  const keys = await givenKeys(40);
  const gate = createGate();
  const stream = open({ limits: { itemsPerStream: 10 }, before: () => gate.opened });
  const read = stream.read();
  for (const some of [keys.slice(0, 5), keys.slice(5, 20), keys.slice(20)]) {
    stream.send(...some.map((key) => ({ ...key, status: Status.QUEUED })));
  }
  await expect.poll(() => stream.begun.length).toBe(10);
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  expect(stream.begun).toHaveLength(10);
  expect(stream.outbox.taken).toBe(2);
  gate.open();
  stream.outbox.end();
  expect(await read).toBe("ok");
  expect(stream.words).toHaveLength(40);
});

const text = (length: number) => ({ kind: { case: "stringValue" as const, value: "x".repeat(length) } });

test("no more bytes are taken than may be held, by a stream, an organization or all", async () => {
  const other = await givenOrganization(database.orm);
  const [keys, more, theirs] = await Promise.all([givenKeys(9), givenKeys(9), givenKeys(9, other)]);
  const gate = createGate();
  // Each item has 10,514 bytes: four are enough for a stream, six for an organization, eight for all.
  const limits = {
    ...defaultIngestLimits,
    bytesPerStream: 40_000,
    bytesPerOrganization: 60_000,
    bytesInAll: 80_000,
  };
  const room = new IngestRoom(defaultLimits, limits);
  const options = { limits, room, before: () => gate.opened };
  const streams = [open(options), open(options), open({ ...options, organizationId: other })];
  const reads = streams.map((stream) => stream.read());
  for (const [index, of] of [keys, more, theirs].entries()) {
    streams[index]!.send(
      ...of.map((key) => ({ ...key, status: Status.QUEUED, input: text(10_000) }) as object),
    );
    for (let turn = 0; turn < 20; turn++) await nextTurn();
  }
  expect(streams.map(({ begun }) => begun.length)).toEqual([4, 2, 2]);
  gate.open();
  for (const { outbox } of streams) outbox.end();
  expect(await Promise.all(reads)).toEqual(["ok", "ok", "ok"]);
  expect(streams.map(({ words }) => words.length)).toEqual([9, 9, 9]);
  expect(room.figures).toEqual({ streams: 0, bytes: 0 });
});

test("what is done in the same turn is acknowledged in one message, but not more than fits", async () => {
  const keys = await givenKeys(30);
  const stream = open({ limits: { acknowledgementsPerMessage: 8 } });
  // Refused without the database, so all are done at once.
  stream.send(...keys.map(() => undefined));
  stream.outbox.end();
  expect(await stream.read()).toBe("ok");
  expect(stream.messages).toEqual([8, 8, 8, 6]);
  const large = open({ limits: { messageBytes: 3000 } });
  large.send(...keys.slice(0, 9).map(() => undefined));
  large.outbox.end();
  expect(await large.read()).toBe("ok");
  expect(Math.max(...large.messages)).toBeLessThan(6);
});

test("a shutdown ends it when what was taken is acknowledged, or at once when nothing is", async () => {
  const [key, late] = await givenKeys(2);
  const gate = createGate();
  const stream = open({ before: () => gate.opened });
  const read = stream.read();
  stream.send({ ...key!, status: Status.QUEUED });
  await expect.poll(() => stream.begun.length).toBe(1);
  stream.closing.abort();
  stream.send({ ...late!, status: Status.QUEUED });
  gate.open();
  expect(await read).toBe("DRAINING");
  expect(stream.words).toEqual(["1 CREATED"]);
  const idle = open();
  idle.closing.abort();
  expect(await idle.read()).toBe("DRAINING");
});

test("a client that is gone leaves nothing behind, and nothing of what it sent is begun any more", async () => {
  const [key] = await givenKeys(1);
  const gate = createGate();
  const stream = open({ before: () => gate.opened });
  const read = stream.read();
  stream.send({ ...key!, status: Status.QUEUED }, { ...key!, status: Status.RUNNING });
  await expect.poll(() => stream.begun.length).toBe(1);
  stream.over.abort();
  expect(await read).toBe("ok");
  expect(stream.room.figures).toMatchObject({ streams: 0 });
  expect(stream.room.figures.bytes).toBeGreaterThan(0);
  gate.open();
  await expect.poll(() => stream.room.figures.bytes).toBe(0);
  expect(stream.begun).toEqual(["0 queued"]);
});
