import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  type IngestTaskExecutionsResponse_Acknowledgement as Acknowledgement,
  type CreateTaskExecutionRequestSchema,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { callerFrom, nameIn } from "../client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { signIn } from "../service.ts";
import { startWatchServer } from "../watch/watch-server.ts";

type Report = MessageInitShape<typeof CreateTaskExecutionRequestSchema>;

let database: TestDatabase;
let organizationId: string;
beforeAll(async () => {
  database = await openDatabase();
  organizationId = await givenOrganization(database.orm);
});
afterAll(() => database.close());

/** Starts a proxy in front of a port whose connections can be reset, as networks and crashes do it. */
async function startProxy(port: number) {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => sockets.delete(socket));
    }
    near.pipe(far).pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => sockets.forEach((socket) => void socket.resetAndDestroy());
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    [Symbol.dispose]() {
      server.close();
      cut();
    },
  };
}

/** What is sent in a stream that is broken after so many acknowledgements. */
async function sendUntilCut(
  proxy: Awaited<ReturnType<typeof startProxy>>,
  items: readonly { readonly index: number; readonly report: Report }[],
  cutAfter: number,
): Promise<Acknowledgement[]> {
  const transport = createGrpcTransport({ baseUrl: proxy.origin, interceptors: [signIn("test")] });
  async function* messages() {
    for (const { index, report } of items) yield { sequenceNumber: BigInt(index), request: report };
  }
  const acknowledged: Acknowledgement[] = [];
  try {
    for await (const response of createClient(TaskExecutionService, transport).ingestTaskExecutions(
      messages(),
    )) {
      acknowledged.push(...response.acknowledgements);
      if (acknowledged.length >= cutAfter) {
        proxy.cut();
        // What has arrived and was not read is lost with the connection, as it is with a client that ends.
        break;
      }
    }
  } catch (error) {
    // Broken off. Any other end would be a refusal.
    expect(ConnectError.from(error).findDetails(ErrorInfoSchema)).toEqual([]);
    expect([Code.Aborted, Code.Internal, Code.Unavailable, Code.Canceled]).toContain(
      ConnectError.from(error).code,
    );
  }
  return acknowledged;
}

// The connection is lost while items are on their way, in the database and on their way back. The client knows of none
// of them what became of it, and sends again whatever was not acknowledged.
test("whatever is cut off, and however often: sent again, every record is there once and every event, too", async () => {
  await using server = await startWatchServer(database.orm, {
    authenticate: async () => callerFrom(organizationId),
    ingestLimits: { itemsPerStream: 20 },
  });
  using proxy = await startProxy(server.port);
  const runs = await Promise.all([0, 1, 2, 3].map(() => givenRun(database.orm, organizationId, ["task"])));
  const keys = Array.from({ length: 240 }, (_, index) => ({
    flowExecutionId: runs[index % runs.length]!.flowExecutionId,
    taskName: "task",
    taskExecutionIdx: Math.floor(index / runs.length),
  }));
  // Each record is made and moved on, close behind each other or far from each other.
  const steps = [
    ...keys.slice(0, 120).flatMap((key) => [
      { ...key, status: Status.RUNNING },
      { ...key, status: Status.COMPLETED },
    ]),
    ...keys.slice(120).map((key) => ({ ...key, status: Status.RUNNING })),
    ...keys.slice(120).map((key) => ({ ...key, status: Status.COMPLETED })),
  ];
  const left = new Map(steps.map((report, index) => [index, report]));
  const words = new Map<string, number>();
  let streams = 0;
  while (left.size > 0) {
    const items = [...left].map(([index, report]) => ({ index, report }));
    for (const acknowledgement of await sendUntilCut(proxy, items, 1 + ((streams++ * 7) % 12))) {
      expect(left.delete(Number(acknowledgement.sequenceNumber))).toBe(true);
      const { result } = acknowledgement;
      const word =
        result.case === "response" ? nameIn(Outcome, result.value.outcome)! : Code[result.value?.code ?? 0]!;
      words.set(word, (words.get(word) ?? 0) + 1);
    }
  }
  // None brings more than what it is cut after, 5.5 before the last message on average, and one window.
  expect(streams).toBeGreaterThan(480 / (5.5 + 20) - 1);
  // A report that a later one has overtaken, because it was committed and nobody heard of it, is refused.
  expect(
    [...words.keys()].filter((word) => !/^(CREATED|UPDATED|UNCHANGED|FailedPrecondition)$/.test(word)),
  ).toEqual([]);
  const [row] = await asSuperuser(
    database.superuserUrl,
    `select
      (select count(*)::int from task_execution where organization_id = $1 and status = 'completed') as completed,
      (select count(*)::int from task_execution where organization_id = $1) as records,
      (select count(*)::int from event where organization_id = $1 and type = 'create') as creations,
      (select count(*)::int from event where organization_id = $1 and type = 'complete') as completions,
      (select count(*)::int from event where organization_id = $1) as events`,
    [organizationId],
  );
  expect(row).toEqual({ completed: 240, records: 240, creations: 240, completions: 240, events: 480 });
});
