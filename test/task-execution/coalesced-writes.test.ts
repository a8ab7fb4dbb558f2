import { randomUUID } from "node:crypto";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { Client as DatabaseClient } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultLimits, type Limits } from "../../src/server/limits.ts";
import { callerFrom, clientOf, outcomeOf } from "../client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";

let database: TestDatabase;
let organizationId: string;

beforeAll(async () => {
  database = await openDatabase();
  organizationId = await givenOrganization(database.orm);
  // A constraint that only the database knows, so that it fails the transaction of all.
  await asSuperuser(
    database.superuserUrl,
    "alter table task_execution add constraint no_13 check (task_execution_idx <> 13)",
  );
});

afterAll(() => database.close());

function tasksOf(more: { keyName?: string; organizationId?: string; limits?: Partial<Limits> } = {}) {
  const caller = callerFrom(more.organizationId ?? organizationId, { keyName: more.keyName ?? "test" });
  return clientOf(TaskExecutionService, database, caller, { limits: { ...defaultLimits, ...more.limits } });
}

const report = (flowExecutionId: string, taskExecutionIdx: number) => ({
  flowExecutionId,
  taskName: "a",
  taskExecutionIdx,
  status: Status.QUEUED,
});

async function runOf(id = organizationId): Promise<string> {
  return (await givenRun(database.orm, id, ["a"])).flowExecutionId;
}

/** Creates records at the same time, and returns what each call ended with. */
function createAll(tasks: Client<typeof TaskExecutionService>, run: string, indexes: readonly number[]) {
  return Promise.all(indexes.map((index) => outcomeOf(tasks.createTaskExecution(report(run, index)))));
}

/** Returns in how many transactions the events of a run were written. */
async function transactionsOf(run: string): Promise<number> {
  const [row] = await asSuperuser<{ n: number }>(
    database.superuserUrl,
    "select count(distinct xmin::text)::int as n from event where flow_execution_id = $1",
    [run],
  );
  return row!.n;
}

/** Holds the lock of a run until the function is done. */
async function holding(run: string, work: () => Promise<void>): Promise<void> {
  const other = new DatabaseClient({ connectionString: database.superuserUrl });
  await other.connect();
  try {
    await other.query("begin");
    await other.query("select from flow_execution where id = $1 for no key update", [run]);
    await work();
  } finally {
    await other.end();
  }
}

describe("creates at the same time", () => {
  const indexes = Array.from({ length: 64 }, (_, index) => index).filter((index) => index !== 13);

  test("are few transactions, with an event each, in the order of arrival", async () => {
    const run = await runOf();
    const outcomes = await createAll(tasksOf(), run, indexes);
    expect(new Set(outcomes)).toEqual(new Set(["ok"]));
    expect(await transactionsOf(run)).toBeLessThanOrEqual(4);
    const events = await asSuperuser<{ idx: number }>(
      database.superuserUrl,
      `select t.task_execution_idx as idx
       from event as e join task_execution as t on t.id = e.task_execution_id
       where e.flow_execution_id = $1 order by e.revision`,
      [run],
    );
    expect(events.map(({ idx }) => idx)).toEqual(indexes);
  });

  test("are one transaction each when they are not to be coalesced", async () => {
    const run = await runOf();
    await createAll(tasksOf({ limits: { batchRecords: 0 } }), run, indexes.slice(0, 8));
    expect(await transactionsOf(run)).toBe(8);
  });

  test("are each their author's", async () => {
    const run = await runOf();
    const app = clientOf(TaskExecutionService, database, (secret) =>
      callerFrom(organizationId, { keyName: secret }),
    );
    await Promise.all(
      ["ann", "bob", "cid"].map((name, index) =>
        app.createTaskExecution(report(run, index), {
          headers: { authorization: `Bearer ${name}`, "x-request-id": `of-${name}` },
        }),
      ),
    );
    const events = await asSuperuser(
      database.superuserUrl,
      `select actor_key_name as name, request_id as request
       from event where flow_execution_id = $1 order by revision`,
      [run],
    );
    expect(events).toEqual(["ann", "bob", "cid"].map((name) => ({ name, request: `of-${name}` })));
    expect(await transactionsOf(run)).toBe(1);
  });

  test("are not failed by one that the database refuses", async () => {
    const run = await runOf();
    const outcomes = await createAll(tasksOf(), run, [10, 11, 12, 13, 14, 15]);
    expect(outcomes).toEqual(["ok", "ok", "ok", "VALIDATION_FAILED", "ok", "ok"]);
  });

  test("do not wait for a run that somebody else has locked, which is written when it is free", async () => {
    const tasks = tasksOf();
    const [free, locked] = [await runOf(), await runOf()];
    let late: Promise<string[]> | undefined;
    await holding(locked, async () => {
      late = createAll(tasks, locked, [0, 1, 2]);
      expect(await createAll(tasks, free, [0, 1, 2])).toEqual(["ok", "ok", "ok"]);
      const begin = performance.now();
      expect(await createAll(tasks, free, [3, 4, 5])).toEqual(["ok", "ok", "ok"]);
      expect(performance.now() - begin).toBeLessThan(1000);
    });
    expect(await late).toEqual(["ok", "ok", "ok"]);
    expect(await transactionsOf(locked)).toBe(1);
  });

  test("of an unknown run are not found, and take nobody with them", async () => {
    const run = await runOf();
    const tasks = tasksOf();
    const [unknown, foreign] = [randomUUID(), await runOf(await givenOrganization(database.orm))];
    const calls = [run, unknown, foreign, run].map((id, index) =>
      tasks.createTaskExecution(report(id, index)),
    );
    expect(await Promise.all(calls.map(outcomeOf))).toEqual(["ok", "NOT_FOUND", "NOT_FOUND", "ok"]);
  });
});

test("what is over the queue of an organization is refused with when to come again, and others are served", async () => {
  const run = await runOf();
  const other = await givenOrganization(database.orm);
  const [ours, theirs] = [run, await runOf(other)];
  const tasks = clientOf(TaskExecutionService, database, (secret) => callerFrom(secret), {
    limits: { ...defaultLimits, queuedRecords: 4, batchRecords: 1 },
  });
  const as = (id: string) => ({ headers: { authorization: `Bearer ${id}` } });
  await holding(ours, async () => {
    const calls = Array.from({ length: 12 }, (_, index) =>
      tasks.createTaskExecution(report(ours, index), as(organizationId)).then(
        () => undefined,
        (error) => ConnectError.from(error),
      ),
    );
    expect(await outcomeOf(tasks.createTaskExecution(report(theirs, 0), as(other)))).toBe("ok");
    const refused = (await Promise.race(calls))!;
    expect(refused.code).toBe(Code.ResourceExhausted);
    expect(refused.findDetails(RetryInfoSchema)[0]?.retryDelay?.nanos).toBe(200_000_000);
  });
});
