import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { callerFrom, clientOf } from "../client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await openDatabase();
  // Nobody else makes them.
  await asSuperuser(database.superuserUrl, "alter table task_execution set (autovacuum_enabled = off)");
});

afterAll(() => database.close());

/** Returns how many records the planner believes there are, -1 if it was never told. */
async function believed(): Promise<number> {
  const [row] = await asSuperuser<{ n: number }>(
    database.superuserUrl,
    "select reltuples::float8 as n from pg_class where relname = 'task_execution'",
  );
  return row!.n;
}

test("the planner learns that a table has grown, soon and again when there is much more", async () => {
  const organizationId = await givenOrganization(database.orm);
  const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
  const tasks = clientOf(TaskExecutionService, database, callerFrom(organizationId));
  let next = 0;
  const create = async (count: number) => {
    const requests = Array.from({ length: count }, () => ({
      flowExecutionId,
      taskName: "a",
      taskExecutionIdx: next++,
      status: Status.QUEUED,
    }));
    await tasks.batchCreateTaskExecutions({ requests });
  };
  await create(150);
  expect(await believed()).toBe(-1);
  await create(150);
  await vi.waitFor(async () => expect(await believed()).toBe(300), 5000);
  await create(600);
  await create(200);
  await vi.waitFor(async () => expect(await believed()).toBe(1100), 5000);
});
