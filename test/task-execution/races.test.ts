import { setTimeout as delay } from "node:timers/promises";
import { create, fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Client, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ConflictSchema } from "../../gen/taskledger/v1/error_details_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  CreateTaskExecutionRequestSchema,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { outcomeOf } from "../client.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { startTestService } from "../service.ts";
import { raceCreates } from "./create-race.ts";

describe("two services on one database", () => {
  let database: TestDatabase;
  let services: Awaited<ReturnType<typeof startTestService>>[];
  let clients: Client<typeof TaskExecutionService>[];
  let first: Client<typeof TaskExecutionService>;
  let second: Client<typeof TaskExecutionService>;
  let flowExecutionId: string;

  beforeAll(async () => {
    database = await openDatabase();
    // One after the other: both would make the first organization.
    services = [await startTestService(database.serviceUrl), await startTestService(database.serviceUrl)];
    clients = services.map((service) => service.client(TaskExecutionService));
    [first, second] = clients as [typeof first, typeof second];
  });
  beforeEach(async () => {
    ({ flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]));
  });
  afterAll(async () => {
    await Promise.all(services.map((service) => service[Symbol.asyncDispose]()));
    await database.close();
  });

  const report = (status: Status, content: { input?: string; output?: string } = {}) =>
    create(CreateTaskExecutionRequestSchema, {
      flowExecutionId,
      taskName: "task",
      status,
      ...(content.input && { input: fromJson(ValueSchema, content.input) }),
      ...(content.output && { output: fromJson(ValueSchema, content.output) }),
    });
  const get = async (id: string) =>
    (await first.getTaskExecution({ lookup: { case: "id", value: id } })).taskExecution!;
  const countRecords = async () => {
    const [row] = await asSuperuser<{ records: number }>(
      database.superuserUrl,
      "select count(*)::int as records from task_execution where flow_execution_id = $1",
      [flowExecutionId],
    );
    return row!.records;
  };

  // Fifty workers that were told to begin the same task report it at the same instant, half of them through
  // another server. Each has to learn the same record, and one only that it was the first.
  test("make one record of fifty creates of one key at once, twenty times", async () => {
    const deadlocks = () => countDeadlocks(database);
    const before = await deadlocks();
    for (let round = 0; round < 20; round++) {
      ({ flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]));
      const { ids, outcomes } = await raceCreates(clients, flowExecutionId, 50);
      expect(outcomes).toEqual({ CREATED: 1, UNCHANGED: 49 });
      expect(ids.size).toBe(1);
      expect(await countRecords()).toBe(1);
    }
    expect(await deadlocks()).toBe(before);
  }, 60_000);

  // Two workers did the same task with different results. Whoever reports first is believed, through whichever
  // server the other comes.
  test("refuse the same key with other content, and keep the stored record", async () => {
    const { taskExecution } = await first.createTaskExecution(report(Status.COMPLETED, { output: "a" }));
    const before = await get(taskExecution!.id);
    for (const client of [first, second, first, second]) {
      const error = ConnectError.from(
        await client.createTaskExecution(report(Status.COMPLETED, { output: "b" })).catch((thrown) => thrown),
      );
      expect(await outcomeOf(Promise.reject(error))).toBe("CONTENT_DIFFERS");
      expect(error.findDetails(ConflictSchema)[0]!.differingFields).toEqual(["output"]);
    }
    expect(await get(taskExecution!.id)).toEqual(before);
  });

  test("believe one of fifty that report different results at once", async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        outcomeOf(
          clients[index % 2]!.createTaskExecution(report(Status.COMPLETED, { output: `result ${index}` })),
        ),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === "ok")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === "CONTENT_DIFFERS")).toHaveLength(49);
    expect(await countRecords()).toBe(1);
  });

  // A report that a task runs is held up in the network, and arrives after the report that it is done.
  test("never take a completed record back to running", async () => {
    const { taskExecution } = await first.createTaskExecution(report(Status.RUNNING));
    await first.createTaskExecution(report(Status.COMPLETED));
    const before = await get(taskExecution!.id);
    expect(await outcomeOf(second.createTaskExecution(report(Status.RUNNING)))).toBe("ILLEGAL_TRANSITION");
    expect(await get(taskExecution!.id)).toEqual(before);
  });

  // The same, and both reports wait for the same row: whichever gets it first, the record ends completed.
  test("end with completed when running and completed arrive together", async () => {
    for (let round = 0; round < 20; round++) {
      ({ flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]));
      const { taskExecution } = await first.createTaskExecution(report(Status.QUEUED));
      const running = outcomeOf(first.createTaskExecution(report(Status.RUNNING)));
      const completed = second.createTaskExecution(report(Status.COMPLETED));
      // A completed record needs to run first, so that a report which came too early is repeated.
      const done = await completed.catch(() =>
        running.then(() => second.createTaskExecution(report(Status.COMPLETED))),
      );
      expect(await running).toMatch(/^(ok|ILLEGAL_TRANSITION)$/);
      expect(done.taskExecution?.status).toBe(Status.COMPLETED);
      expect((await get(taskExecution!.id)).status).toBe(Status.COMPLETED);
    }
  });

  // A worker repeats its create because it never got the answer; meanwhile somebody has deleted the record.
  test("do not bring a deleted record back by a late retry of its create", async () => {
    const request = report(Status.FAILED, { input: "old" });
    const { taskExecution } = await first.createTaskExecution(request);
    const { id } = taskExecution!;
    await second.deleteTaskExecution({ id });
    const before = await get(id);
    for (const client of [first, second]) {
      expect(await outcomeOf(client.createTaskExecution(request))).toBe("RECORD_DELETED");
    }
    expect(await get(id)).toEqual(before);
    const { taskExecutions } = await first.listTaskExecutions({ flowExecutionId });
    expect(taskExecutions).toEqual([]);
    expect(await countRecords()).toBe(1);
  });
});

async function countDeadlocks({ superuserUrl }: TestDatabase): Promise<number> {
  // The figures of a backend become visible at most a second after its transaction.
  await delay(1100);
  const [row] = await asSuperuser<{ deadlocks: number }>(
    superuserUrl,
    "select deadlocks::int from pg_stat_database where datname = current_database()",
  );
  return row!.deadlocks;
}
