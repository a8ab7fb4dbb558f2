import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ApiKey_Kind as Kind, ApiKey_Role as Role } from "../../gen/taskledger/v1/api_key_pb.ts";
import { ApiKeyService } from "../../gen/taskledger/v1/api_key_service_pb.ts";
import { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { outcomeOf } from "../client.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { serviceAt, signIn } from "../service.ts";
import { listen } from "../watch/watcher.ts";
import {
  callAt,
  type Fleet,
  holdRun,
  isTaken,
  patience,
  several,
  startFleet,
  stillRunning,
} from "./fleet.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database?.close());

describe("a service of two processes", () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await startFleet(database.serviceUrl);
  });
  afterAll(() => fleet?.end("SIGKILL"));

  test("gives connections to both, whatever they speak, and says once that it serves", async () => {
    const before = fleet.entries.length;
    expect(new Set(await Promise.all(several(8, () => callAt(fleet.port))))).toEqual(new Set(["ok"]));
    for (const _ of several(4, () => 0)) {
      await fetch(`${fleet.origin}/taskledger.v1.OrganizationService/GetOrganization`, {
        method: "POST",
        headers: { connection: "close", "content-type": "application/json" },
        body: "{}",
      });
    }
    await expect.poll(() => fleet.answeredSince(before).length, patience).toBe(12);
    const answered = fleet.answeredSince(before);
    expect(new Set(answered)).toEqual(new Set(fleet.begun));
    expect(fleet.text.filter((line) => line.includes("Taskledger serves on"))).toHaveLength(1);
    expect(fleet.entries.filter(({ msg }) => msg === "serving")).toMatchObject([
      { pid: fleet.pid, port: fleet.port, workers: 2 },
    ]);
  });

  test("tells watchers at one of what is changed at the other", async () => {
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
    const watchers = several(6, () => {
      const client = serviceAt(fleet.port).client(TaskExecutionService);
      return listen((options) => client.watchTaskExecutions({ flowExecutionId }, options));
    });
    await Promise.all(watchers.map((watcher) => watcher.untilCase("synced")));
    const change = { flowExecutionId, taskName: "task", status: Status.RUNNING };
    await serviceAt(fleet.port).client(TaskExecutionService).createTaskExecution(change);
    await Promise.all(watchers.map((watcher) => watcher.untilCase("changes")));
    const before = fleet.entries.length;
    for (const watcher of watchers) watcher.close();
    await expect.poll(() => fleet.answeredSince(before).length, patience).toBe(6);
    expect(new Set(fleet.answeredSince(before))).toEqual(new Set(fleet.begun));
  });

  test("refuses a revoked key everywhere within five seconds", async () => {
    const keys = fleet.client(ApiKeyService);
    const { apiKey, secret } = await keys.createApiKey({
      name: randomUUID(),
      kind: Kind.WORKER,
      role: Role.VIEWER,
      requestId: randomUUID(),
    });
    const clients = several(6, () =>
      createClient(
        OrganizationService,
        createGrpcTransport({ baseUrl: fleet.origin, interceptors: [signIn(secret)] }),
      ),
    );
    const outcomes = async () =>
      new Set(await Promise.all(clients.map((client) => outcomeOf(client.getOrganization({})))));
    expect(await outcomes()).toEqual(new Set(["ok"]));
    await keys.revokeApiKey({ id: apiKey!.id });
    await expect.poll(outcomes, { timeout: 5000 }).toEqual(new Set(["CREDENTIAL_INVALID"]));
  });

  test("serves on when one is killed, and has two again", async () => {
    const [killed, other] = fleet.begun as [number, number];
    process.kill(killed, "SIGKILL");
    await expect.poll(() => fleet.ended, patience).toEqual([killed]);
    const before = fleet.entries.length;
    expect(new Set(await Promise.all(several(4, () => callAt(fleet.port))))).toEqual(new Set(["ok"]));
    await expect.poll(() => fleet.answeredSince(before).length, patience).toBe(4);
    expect(new Set(fleet.answeredSince(before))).toEqual(new Set([other]));

    await expect.poll(() => fleet.begun.length, patience).toBe(3);
    const after = fleet.entries.length;
    await Promise.all(several(4, () => callAt(fleet.port)));
    await expect
      .poll(() => new Set(fleet.answeredSince(after)), patience)
      .toEqual(new Set([other, fleet.begun[2]]));
  });

  test("serves at the same port again when all are killed, also if any port was asked for", async () => {
    for (const pid of fleet.begun.slice(1)) process.kill(pid, "SIGKILL");
    await expect.poll(() => fleet.begun.length, patience).toBe(5);
    expect(await callAt(fleet.port)).toBe("ok");
  });

  test("ends without failing a call when it is told to, and leaves nothing", async () => {
    const processes = fleet.begun.slice(3);
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
    const holder = await holdRun(database, flowExecutionId);
    const before = fleet.entries.length;
    const calls = several(6, (taskExecutionIdx) =>
      outcomeOf(
        serviceAt(fleet.port).client(TaskExecutionService).createTaskExecution({
          flowExecutionId,
          taskName: "task",
          taskExecutionIdx,
          status: Status.QUEUED,
        }),
      ),
    );
    const waiting = async () => {
      const sql =
        "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
      return (await asSuperuser(database.superuserUrl, sql)).length;
    };
    // One transaction of each process waits, for all of its callers.
    await expect.poll(waiting, patience).toBe(2);
    // As Ctrl-C has it: all of them get the signal, the others when the first one has told them already.
    const ended = fleet.end("SIGINT");
    await expect.poll(() => fleet.entries.filter(({ msg }) => msg === "draining").length, patience).toBe(3);
    for (const pid of processes) process.kill(pid, "SIGINT");
    await holder[Symbol.asyncDispose]();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["ok"]));
    expect(await ended).toBe(0);
    expect(new Set(fleet.answeredSince(before))).toEqual(new Set(processes));
    expect(await stillRunning(processes)).toEqual([]);
    expect(await isTaken(fleet.port)).toBe(false);
  });
});
