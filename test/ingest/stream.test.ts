import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { create, createRegistry, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { credentials, Client as GrpcClient, Metadata } from "@grpc/grpc-js";
import { Client as DatabaseClient } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ErrorInfoSchema,
  file_google_rpc_error_details,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { file_taskledger_v1_error_details } from "../../gen/taskledger/v1/error_details_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  type IngestTaskExecutionsResponse_Acknowledgement as Acknowledgement,
  type CreateTaskExecutionRequestSchema,
  IngestTaskExecutionsRequestSchema,
  IngestTaskExecutionsResponseSchema,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { Caller } from "../../src/auth/caller.ts";
import { callerFrom, ingestAll, nameIn, outcomeOf } from "../client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { signIn } from "../service.ts";
import { startWatchServer, type WatchServerOptions } from "../watch/watch-server.ts";
import { createOutbox } from "./outbox.ts";

type Report = MessageInitShape<typeof CreateTaskExecutionRequestSchema>;
type Item = MessageInitShape<typeof IngestTaskExecutionsRequestSchema>;

/** What the errors of items hold, for those who read JSON. */
const registry = createRegistry(file_google_rpc_error_details, file_taskledger_v1_error_details);

const { ingestTaskExecutions } = TaskExecutionService.method;
const path = `/${TaskExecutionService.typeName}/${ingestTaskExecutions.name}`;

let database: TestDatabase;
let organizationId: string;
beforeAll(async () => {
  database = await openDatabase();
  organizationId = await givenOrganization(database.orm);
});
afterAll(() => database.close());

const startServer = (options: Partial<WatchServerOptions> = {}) =>
  startWatchServer(database.orm, { authenticate: async () => callerFrom(organizationId), ...options });

const givenReports = async (count: number, more: object = {}): Promise<Report[]> => {
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["task"]);
  return Array.from({ length: count }, (_, taskExecutionIdx) => ({
    flowExecutionId,
    taskName: "task",
    taskExecutionIdx,
    status: Status.RUNNING,
    ...more,
  }));
};

const numbered = (reports: readonly Report[], from = 1): Item[] =>
  reports.map((request, index) => ({ sequenceNumber: BigInt(from + index), request }));

/** Says in a word what came of an item. */
const wordFor = ({ result }: Acknowledgement) =>
  result.case === "response" ? nameIn(Outcome, result.value.outcome) : Code[result.value?.code ?? 0];

/** Reads a stream to its end and returns what was acknowledged, and how it ended. */
async function readAll(
  transport: Transport,
  items: AsyncIterable<Item>,
): Promise<{ words: Record<string, string | undefined>; end: string; retries: boolean }> {
  const words: Record<string, string | undefined> = {};
  try {
    for await (const { acknowledgements } of createClient(
      TaskExecutionService,
      transport,
    ).ingestTaskExecutions(items)) {
      for (const acknowledgement of acknowledgements) {
        expect(words).not.toHaveProperty(String(acknowledgement.sequenceNumber));
        words[String(acknowledgement.sequenceNumber)] = wordFor(acknowledgement);
      }
    }
    return { words, end: "ok", retries: false };
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    const reason = error.findDetails(ErrorInfoSchema)[0]?.reason.replace("ERROR_REASON_", "");
    return {
      words,
      end: `${Code[error.code]} ${reason}`,
      retries: error.findDetails(RetryInfoSchema).length > 0,
    };
  }
}

function ingestByGrpcJs(
  port: number,
  items: readonly Item[],
): Promise<{ words: Record<string, string | undefined>; code: number }> {
  const client = new GrpcClient(`127.0.0.1:${port}`, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("authorization", "Bearer test");
  const stream = client.makeBidiStreamRequest(
    path,
    (item: Item) =>
      Buffer.from(
        toBinary(IngestTaskExecutionsRequestSchema, create(IngestTaskExecutionsRequestSchema, item)),
      ),
    (bytes) => fromBinary(IngestTaskExecutionsResponseSchema, bytes),
    metadata,
  );
  const words: Record<string, string | undefined> = {};
  stream.on("data", ({ acknowledgements }: { acknowledgements: Acknowledgement[] }) => {
    for (const acknowledgement of acknowledgements) {
      words[String(acknowledgement.sequenceNumber)] = wordFor(acknowledgement);
    }
  });
  for (const item of items) stream.write(item);
  stream.end();
  return new Promise((resolve) => {
    stream.on("error", () => undefined);
    stream.on("status", ({ code }) => {
      client.close();
      resolve({ words, code });
    });
  });
}

describe("a stream of reports", () => {
  const transports = (baseUrl: string): Record<string, Transport> => {
    const options = { baseUrl, interceptors: [signIn("test")], jsonOptions: { registry } };
    return {
      gRPC: createGrpcTransport(options),
      "gRPC-Web on HTTP/2": createGrpcWebTransport({ ...options, httpVersion: "2" }),
      "Connect, binary": createConnectTransport({ ...options, httpVersion: "2", useBinaryFormat: true }),
      "Connect, JSON": createConnectTransport({ ...options, httpVersion: "2", useBinaryFormat: false }),
    };
  };
  const mixed = async () => {
    const [good, bad, other, late] = await givenReports(4);
    const items = numbered([
      good!,
      { ...bad, taskName: "nope" },
      { ...other, flowExecutionId: "17" },
      {},
      good!,
      late!,
    ]);
    items.push({ sequenceNumber: 18446744073709551615n });
    return items;
  };
  const seen = {
    1: "CREATED",
    2: "InvalidArgument",
    3: "InvalidArgument",
    4: "InvalidArgument",
    5: "UNCHANGED",
    6: "CREATED",
    "18446744073709551615": "InvalidArgument",
  };

  test("is acknowledged item by item over every protocol, and ends well when the client has sent all", async () => {
    await using server = await startServer();
    for (const [name, transport] of Object.entries(transports(server.origin))) {
      const outbox = createOutbox(...(await mixed()));
      outbox.end();
      expect(await readAll(transport, outbox), name).toEqual({ words: seen, end: "ok", retries: false });
    }
    expect(await ingestByGrpcJs(server.port, await mixed())).toEqual({ words: seen, code: 0 });
    await expect.poll(() => server.ingestRoom.figures).toEqual({ streams: 0, bytes: 0 });
  });

  test("is acknowledged while it is open, and what is acknowledged can be read", async () => {
    await using server = await startServer();
    const tasks = server.client(TaskExecutionService);
    const outbox = createOutbox<Item>();
    const responses = tasks.ingestTaskExecutions(outbox)[Symbol.asyncIterator]();
    for (const item of numbered(await givenReports(3))) {
      outbox.send(item);
      const { value } = await responses.next();
      const [{ sequenceNumber, result }] = value.acknowledgements;
      expect(sequenceNumber).toBe(item.sequenceNumber);
      const lookup = { case: "id" as const, value: result.value.taskExecution.id };
      expect(await tasks.getTaskExecution({ lookup })).toMatchObject({
        taskExecution: { status: Status.RUNNING },
      });
    }
    outbox.end();
    expect((await responses.next()).done).toBe(true);
  });

  test("over HTTP/1.1 is refused with what it needs", async () => {
    await using server = await startServer();
    const options = { baseUrl: server.origin, interceptors: [signIn("test")], httpVersion: "1.1" as const };
    for (const transport of [createConnectTransport(options), createGrpcWebTransport(options)]) {
      const outbox = createOutbox(...(await mixed()));
      outbox.end();
      const error = await createClient(TaskExecutionService, transport)
        .ingestTaskExecutions(outbox)
        [Symbol.asyncIterator]()
        .next()
        .catch((thrown: unknown) => ConnectError.from(thrown));
      expect(error).toMatchObject({
        code: Code.InvalidArgument,
        rawMessage: "IngestTaskExecutions streams both ways, which needs HTTP/2",
      });
    }
  });

  test("is refused to those who may only read, before anything is written", async () => {
    await using server = await startServer({
      authenticate: async () => callerFrom(organizationId, { role: "viewer" }),
    });
    const outbox = createOutbox(...numbered(await givenReports(1)));
    expect(await readAll(server.transport, outbox)).toMatchObject({
      words: {},
      end: "PermissionDenied ROLE_INSUFFICIENT",
    });
  });

  test("whose numbers do not ascend ends after all before was acknowledged", async () => {
    await using server = await startServer();
    for (const again of [7n, 6n, 0n]) {
      const [first, second, third] = await givenReports(3);
      const outbox = createOutbox<Item>(
        { sequenceNumber: 0n, request: first! },
        { sequenceNumber: 7n, request: second! },
        { sequenceNumber: again, request: third! },
      );
      expect(await readAll(server.transport, outbox)).toEqual({
        words: { 0: "CREATED", 7: "CREATED" },
        end: "InvalidArgument VALIDATION_FAILED",
        retries: false,
      });
    }
  });

  test("may be longer than a request, but none of its items", async () => {
    await using server = await startServer({ limits: { readMaxBytes: 65_536 } });
    const input = { kind: { case: "stringValue" as const, value: "x".repeat(30_000) } };
    const reports = await givenReports(19, { input });
    const [huge] = await givenReports(1, { taskName: "x".repeat(70_000) });
    const outbox = createOutbox(...numbered([...reports, huge!]));
    const { words, end } = await readAll(server.transport, outbox);
    expect(Object.values(words)).toEqual(Array(19).fill("CREATED"));
    expect(end).toBe("ResourceExhausted MESSAGE_TOO_LARGE");
  });

  test("reports each step of one record in the order in which they were sent", async () => {
    await using server = await startServer();
    const reports = await givenReports(20);
    const steps = [Status.QUEUED, Status.RUNNING, Status.COMPLETED].map((status) => ({ status }));
    const all = reports.flatMap((report) => steps.map((step) => ({ ...report, ...step })));
    const acknowledgements = await ingestAll(server.client(TaskExecutionService), all);
    const words = Object.fromEntries(
      acknowledgements.map((each) => [String(each.sequenceNumber), wordFor(each)]),
    );
    expect(Object.values(words)).toEqual(reports.flatMap(() => ["CREATED", "UPDATED", "UPDATED"]));
  });
});

test("a credential that is revoked ends a stream, idle or not, with UNAUTHENTICATED", async () => {
  let caller: Caller | undefined = callerFrom(organizationId);
  await using server = await startServer({
    authenticate: async () => caller,
    ingestLimits: { recheckMs: 20 },
  });
  const outbox = createOutbox(...numbered(await givenReports(1)));
  const read = readAll(server.transport, outbox);
  await expect.poll(() => server.ingestRoom.figures.bytes).toBe(0);
  await expect.poll(() => outbox.taken).toBe(1);
  caller = undefined;
  expect(await read).toMatchObject({ words: { 1: "CREATED" }, end: "Unauthenticated CREDENTIAL_INVALID" });
});

test("a server that drains acknowledges what it has taken, and then ends with UNAVAILABLE", async () => {
  await using server = await startServer();
  const reports = await givenReports(5);
  const holder = new DatabaseClient({ connectionString: database.superuserUrl });
  await holder.connect();
  await holder.query("begin");
  await holder.query("select from flow_execution where id = $1 for update", [reports[0]!.flowExecutionId]);
  const outbox = createOutbox(...numbered(reports));
  const read = readAll(server.transport, outbox);
  await expect.poll(() => server.ingestRoom.figures.bytes).toBeGreaterThan(5 * 500);
  const drained = server.drain();
  await expect.poll(() => fetch(server.origin).catch(() => "refused")).toBe("refused");
  outbox.send({ sequenceNumber: 6n, request: { ...reports[0], taskExecutionIdx: 6 } });
  await holder.end();
  const words = { 1: "CREATED", 2: "CREATED", 3: "CREATED", 4: "CREATED", 5: "CREATED" };
  expect(await read).toEqual({ words, end: "Unavailable DRAINING", retries: true });
  await drained;
});

test("an organization has so many streams and no more; another one is not affected", async () => {
  let organization = organizationId;
  await using server = await startServer({
    authenticate: async () => callerFrom(organization),
    limits: { maxIngestStreamsPerOrganization: 2, maxIngestStreams: 3 },
  });
  const tasks = server.client(TaskExecutionService);
  const open = async () => {
    const stop = new AbortController();
    const before = server.ingestRoom.figures.streams;
    const ended = outcomeOf(readOne(tasks.ingestTaskExecutions(createOutbox(), { signal: stop.signal })));
    await Promise.race([ended, expect.poll(() => server.ingestRoom.figures.streams).toBe(before + 1)]);
    return { stop, ended };
  };
  const first = await open();
  const second = await open();
  expect(await (await open()).ended).toBe("TOO_MANY_REQUESTS");
  organization = await givenOrganization(database.orm);
  const other = await open();
  expect(server.ingestRoom.figures.streams).toBe(3);
  expect(await (await open()).ended).toBe("TOO_MANY_REQUESTS");
  organization = organizationId;
  first.stop.abort();
  await expect.poll(() => server.ingestRoom.figures.streams).toBe(2);
  const third = await open();
  expect(server.ingestRoom.figures.streams).toBe(3);
  for (const { stop } of [second, other, third]) stop.abort();
  await expect.poll(() => server.ingestRoom.figures).toEqual({ streams: 0, bytes: 0 });
});

async function readOne(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream) return;
}

/** How many items a client by hand would send. They are refused without a look at the database. */
const many = 20_000;

/** Opens a stream by hand, whose client reads nothing until it is told to, and sends items. */
function openRaw(port: number) {
  const session = connectHttp2(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 16_384 } });
  session.on("error", () => undefined);
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    authorization: "Bearer test",
  });
  stream.on("error", () => undefined);
  let sent = 0;
  const write = () => {
    while (sent < many) {
      const item = { sequenceNumber: BigInt(++sent), request: { taskName: "x".repeat(500) } };
      const message = create(IngestTaskExecutionsRequestSchema, item);
      if (!stream.write(encodeEnvelope(0, toBinary(IngestTaskExecutionsRequestSchema, message)))) {
        stream.once("drain", write);
        return;
      }
    }
    stream.end();
  };
  write();
  return { session, stream, sent: () => sent };
}

/** Waits until a figure stays the same. */
async function settled(figure: () => number): Promise<number> {
  let last = -1;
  const isSame = () => {
    const before = last;
    last = figure();
    return last > 0 && last === before;
  };
  await expect.poll(isSame, { interval: 200, timeout: 10_000 }).toBe(true);
  return last;
}

test("from a client that reads nothing, no more is taken than what fits; all of it when it reads", async () => {
  await using server = await startServer({ ingestLimits: { itemsPerStream: 50 } });
  const { session, stream, sent } = openRaw(server.port);
  // 50 that are held, and what the windows and buffers of the connection hold in both directions.
  expect(await settled(sent)).toBeLessThan(1000);
  expect(server.ingestRoom.figures.bytes).toBeLessThan(100_000);
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const [trailers] = await once(stream, "trailers");
  expect(trailers).toMatchObject({ "grpc-status": "0" });
  const numbers = acknowledgementsIn(Buffer.concat(chunks)).map(({ sequenceNumber }) =>
    Number(sequenceNumber),
  );
  expect(numbers).toEqual(Array.from({ length: many }, (_, index) => index + 1));
  session.destroy();
});

function acknowledgementsIn(body: Buffer): Acknowledgement[] {
  const acknowledgements: Acknowledgement[] = [];
  for (let at = 0; at < body.length; at += 5 + body.readUInt32BE(at + 1)) {
    const message = body.subarray(at + 5, at + 5 + body.readUInt32BE(at + 1));
    acknowledgements.push(...fromBinary(IngestTaskExecutionsResponseSchema, message).acknowledgements);
  }
  return acknowledgements;
}

test("streams whose clients vanish while acknowledgements wait for them are forgotten", async () => {
  await using server = await startServer({ ingestLimits: { itemsPerStream: 20 } });
  for (const drop of ["reset", "destroy"]) {
    const raw = Array.from({ length: 20 }, () => openRaw(server.port));
    await settled(() => raw.reduce((sum, { sent }) => sum + sent(), 0));
    expect(server.ingestRoom.figures.streams).toBe(20);
    expect(server.ingestRoom.figures.bytes).toBeGreaterThan(20 * 20 * 500);
    for (const { session, stream } of raw) {
      if (drop === "reset") stream.close(8);
      else session.destroy();
    }
    await expect.poll(() => server.ingestRoom.figures, { timeout: 2000 }).toEqual({ streams: 0, bytes: 0 });
    for (const { session } of raw) session.destroy();
  }
});

test("a client that never reads is cut off in the end", async () => {
  await using server = await startServer({ limits: { writeStallMs: 300 } });
  const { session, stream } = openRaw(server.port);
  await once(stream, "close");
  await expect.poll(() => server.ingestRoom.figures).toEqual({ streams: 0, bytes: 0 });
  session.destroy();
});

test("another organization's run is one that does not exist", async () => {
  await using server = await startServer();
  const other = await givenOrganization(database.orm);
  const { flowExecutionId } = await givenRun(database.orm, other, ["task"]);
  const reports = [flowExecutionId, randomUUID()].map((id) => ({
    flowExecutionId: id,
    taskName: "task",
    status: Status.RUNNING,
  }));
  const acknowledgements = await ingestAll(server.client(TaskExecutionService), reports);
  expect(acknowledgements.map(wordFor)).toEqual(["NotFound", "NotFound"]);
  const query = "select count(*)::int as records from task_execution where organization_id = $1";
  expect(await asSuperuser(database.superuserUrl, query, [other])).toEqual([{ records: 0 }]);
});
