import { setTimeout as delay } from "node:timers/promises";
import { Client as DatabaseClient } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { outcomeOf } from "../client.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { type ServiceProcess, startServiceProcess } from "../service.ts";

let database: TestDatabase;
let service: ServiceProcess;
let flowExecutionId: string;
/** Every record whose create was answered with success, by its idx. */
const acked = new Map<number, string>();
let nextIdx = 0;

beforeAll(async () => {
  database = await openDatabase();
  service = await startServiceProcess(database.serviceUrl, {
    DATABASE_POOL: "5",
    // A transaction for each call, so that there are many sessions to end.
    LIMIT_BATCH_RECORDS: "0",
  });
  ({ flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]));
});
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await database?.close();
});

async function create(): Promise<void> {
  const taskExecutionIdx = nextIdx++;
  const report = { flowExecutionId, taskName: "task", taskExecutionIdx, status: Status.RUNNING };
  const { taskExecution } = await service.client(TaskExecutionService).createTaskExecution(report);
  acked.set(taskExecutionIdx, taskExecution!.id);
}

/** Ends all sessions of the service, its probe too, in the given state; returns how many. */
async function endSessions(state = "%"): Promise<number> {
  const ended = await asSuperuser(
    database.superuserUrl,
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name in ('taskledger', 'taskledger-probe') and state like $1`,
    [state],
  );
  return ended.length;
}

/** Expects the same process to answer within three seconds, as ready too. */
async function expectServing(): Promise<void> {
  const start = performance.now();
  await expect.poll(() => outcomeOf(create()), { interval: 20, timeout: 3000 }).toBe("ok");
  await expect
    .poll(async () => (await fetch(`${service.origin}/readyz`)).status, { interval: 20, timeout: 3000 })
    .toBe(200);
  expect(performance.now() - start).toBeLessThan(3000);
  expect(service.isAlive()).toBe(true);
  // Signal 0 only asks whether the process is there.
  expect(process.kill(service.pid, 0)).toBe(true);
}

/** Expects what callers were told is stored to be there. */
async function expectAckedStored(): Promise<void> {
  const rows = await asSuperuser<{ idx: number; id: string }>(
    database.superuserUrl,
    "select task_execution_idx as idx, id from task_execution where flow_execution_id = $1",
    [flowExecutionId],
  );
  const stored = new Map(rows.map(({ idx, id }) => [idx, id]));
  expect([...acked].filter(([idx, id]) => stored.get(idx) !== id)).toEqual([]);
  for (const id of [...acked.values()].slice(-5)) {
    const { taskExecution } = await service
      .client(TaskExecutionService)
      .getTaskExecution({ lookup: { case: "id", value: id } });
    expect(taskExecution?.id).toBe(id);
  }
}

const waiting = () =>
  asSuperuser(
    database.superuserUrl,
    "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
  );

// An idle connection that ends makes its client emit an error that nobody awaits: unheard, it ends the process.
test("the process lives on when its idle sessions are ended, ten times", async () => {
  for (let round = 0; round < 10; round++) {
    await Promise.all(Array.from({ length: 5 }, create));
    expect(await endSessions("idle")).toBeGreaterThan(1);
    await expectServing();
  }
  await expectAckedStored();
});

// In whatever state they are: while connecting, between begin and commit, in the commit.
test("the process lives on when its sessions are ended again and again under load", async () => {
  let over = false;
  const outcomes = new Map<string, number>();
  const load = Array.from({ length: 10 }, async () => {
    while (!over) {
      const outcome = await outcomeOf(create());
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  });
  let ended = 0;
  for (let round = 0; round < 40; round++) {
    // There is nothing to wait for: the sessions are to be met in any state.
    await delay(10 + Math.random() * 40);
    ended += await endSessions();
  }
  over = true;
  await Promise.all(load);
  expect(ended).toBeGreaterThan(40);
  expect(outcomes.get("ok")).toBeGreaterThan(10);
  expect(outcomes.get("DATABASE_UNAVAILABLE")).toBeGreaterThan(10);
  // A caller hears that the service is short of connections or of a database, never that it is broken.
  expect(
    [...outcomes.keys()].filter((outcome) => !/^(ok|DATABASE_UNAVAILABLE|POOL_EXHAUSTED)$/.test(outcome)),
  ).toEqual([]);
  await expectServing();
  await expectAckedStored();
}, 40_000);

// The sessions wait for a lock inside of a transaction, all of the pool: this comes last, since it also shows that
// no place of the pool was lost.
test("the process lives on when its busy sessions are ended, and tells their callers", async () => {
  for (let round = 0; round < 5; round++) {
    const holder = new DatabaseClient({ connectionString: database.superuserUrl });
    await holder.connect();
    try {
      await holder.query("begin");
      await holder.query("select from flow_execution where id = $1 for update", [flowExecutionId]);
      const calls = Array.from({ length: 5 }, () => outcomeOf(create()));
      await expect.poll(waiting, { interval: 5, timeout: 1500 }).toHaveLength(5);
      expect(await endSessions("active")).toBe(5);
      expect(await Promise.all(calls)).toEqual(Array(5).fill("DATABASE_UNAVAILABLE"));
    } finally {
      await holder.end();
    }
    await expectServing();
  }
  await expectAckedStored();
});
