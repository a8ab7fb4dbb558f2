import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { clusterDirOf } from "../../src/db/embedded/cluster.ts";
import { readConnections } from "../../src/db/embedded/postmaster.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { outcomeOf } from "../client.ts";
import { openDatabase, type TestDatabase } from "../database.ts";
import { newDir } from "../db/embedded/fixture.ts";
import { givenRun } from "../runs.ts";
import { serviceAt } from "../service.ts";
import { callAt, holdRun, open, patience, several, startFleet, stillRunning } from "./fleet.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database?.close());

test("connections beyond what all processes may have are closed, and a second signal ends all at once", async () => {
  await using fleet = await startFleet(database.serviceUrl, {
    LIMIT_MAX_CONNECTIONS: "10",
    DRAIN_SECONDS: "3600",
  });
  const sockets = await Promise.all(several(30, () => open(fleet.port)));
  for (const socket of sockets) socket.resume();
  // More than ten if one process got more than fifteen: they are not moved to where there is room.
  const closed = () => sockets.filter((socket) => socket.closed).length;
  await expect.poll(closed, patience).toBeGreaterThanOrEqual(10);
  expect(closed()).toBeLessThanOrEqual(20);
  for (const socket of sockets) socket.destroy();

  const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
  const wait = serviceAt(fleet.port).client(TaskExecutionService);
  const holder = await holdRun(database, flowExecutionId);
  const call = outcomeOf(
    wait.createTaskExecution({ flowExecutionId, taskName: "task", status: Status.QUEUED }),
  );
  const ended = fleet.end("SIGTERM");
  await expect.poll(() => fleet.entries.filter(({ msg }) => msg === "draining").length, patience).toBe(3);
  // Also one that does not react.
  process.kill(fleet.begun[0]!, "SIGSTOP");
  process.kill(fleet.pid, "SIGTERM");
  expect(await ended).toBe(1);
  expect(await call).not.toBe("ok");
  await holder[Symbol.asyncDispose]();
  await expect.poll(() => stillRunning(fleet.begun), patience).toEqual([]);
});

test("a port that is taken ends it, with nothing left", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as { port: number };
  await expect(startFleet(database.serviceUrl, { PORT: String(port) })).rejects.toThrow(
    /the service ended with 1: [\s\S]*EADDRINUSE[\s\S]*a process ended before it served/,
  );
  taken.close();
});

test("processes end when the first one is killed, and the next start takes over", async () => {
  const dataDir = join(await newDir(), "data");
  const env = { TASKLEDGER_DATA_DIR: dataDir, DATABASE_POOL: "60" };
  const killed = await startFleet("", env);
  expect(await callAt(killed.port)).toBe("ok");
  // Each process can fill its pool.
  expect(await readConnections(clusterDirOf(dataDir))).toBeGreaterThan(2 * 60);
  await killed.end("SIGKILL");
  await expect.poll(() => stillRunning(killed.begun), patience).toEqual([]);

  await using next = await startFleet("", { ...env, PORT: String(killed.port) });
  expect(await callAt(next.port)).toBe("ok");
  expect(await next.end("SIGTERM")).toBe(0);
  expect(await stillRunning(next.begun)).toEqual([]);
}, 60_000);
