import { afterAll, beforeAll, expect, test } from "vitest";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { callerFrom } from "../client.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { followChurn } from "./follower.ts";
import { startWatchServer, type WatchServer } from "./watch-server.ts";

let database: TestDatabase;
let organizationId: string;
let servers: WatchServer[];
beforeAll(async () => {
  database = await openDatabase();
  organizationId = await givenOrganization(database.orm);
  const authenticate = async () => callerFrom(organizationId);
  // One of them keeps next to nothing, so that its streams often read the database.
  servers = await Promise.all(
    [4096, 5].map((keptEntries) =>
      startWatchServer(database.orm, { authenticate, watchLimits: { keptEntries, idlePollMs: 100 } }),
    ),
  );
});
afterAll(async () => {
  for (const server of servers ?? []) await server[Symbol.asyncDispose]();
  await database?.close();
});

/**
 * A client that loses its connection at random moments and goes on at another server, while everything changes. What
 * it has put together in the end is what the table holds, no state was told twice, and no revision came late.
 */
test("whoever is broken off again and again, between two servers, misses nothing and sees nothing twice", {
  timeout: 120_000,
}, async () => {
  let seed = 1;
  const pick = (count: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % count;
  };
  const given = await Promise.all(
    Array.from({ length: 4 }, () => givenRun(database.orm, organizationId, ["a"])),
  );
  const ids = given.map(({ flowExecutionId }) => flowExecutionId);
  const clients = servers.map((server) => ({
    tasks: server.client(TaskExecutionService),
    runs: server.client(FlowExecutionService),
  }));
  const followed = await followChurn(clients, ids, pick, { writers: 3, disconnects: 40 });
  expect(followed.faults).toEqual([]);
  expect(followed.state.join()).toBe(followed.final);
  expect(followed.state.length).toBeGreaterThan(10);
  expect(followed.changes).toBeGreaterThan(50);
});
