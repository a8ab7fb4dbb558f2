import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HeartbeatTaskExecutionsResponse_State as State } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { nameIn, outcomeOf } from "../client.ts";
import { asSuperuser, openDatabase } from "../database.ts";
import { type Fleet, type Held, jsonOf, openFleet } from "./fleet.ts";
import { sweeperOf } from "./sweeper.ts";

describe("a lease", () => {
  let fleet: Fleet;
  let sweep: () => Promise<void>;
  beforeAll(async () => {
    fleet = await openFleet();
    sweep = sweeperOf(fleet.database);
  });
  afterAll(() => fleet.close());

  const one = "\n      tasks: [{name: task, input: 1, retry: {max_attempts: 3, initial_backoff: 0s}}]";
  const beat = async ({ id, token }: Pick<Held, "id" | "token">) => {
    const { results } = await fleet.client.heartbeatTaskExecutions({ heartbeats: [{ id, token }] });
    return nameIn(State, results[0]!.state);
  };
  /** Moves the end of a lease by the database's clock. */
  const age = (id: string, seconds: number) =>
    asSuperuser(
      fleet.database.superuserUrl,
      "update task_lease set expire_time = expire_time - make_interval(secs => $2) where task_execution_id = $1",
      [id, seconds],
    );

  test("that has run out fails the attempt, and the next one is claimed at once", async () => {
    const run = await fleet.start(one);
    const [first] = await fleet.claim(["task"]);
    await age(first!.id, 60);
    await sweep();
    const failed = await run.get("task");
    expect(failed.error?.type).toBe("LeaseExpired");
    const [second] = await fleet.claim(["task"]);
    expect(second).toMatchObject({ attempt: 2, idx: 1, input: 1 });
    // Interruptions are no failures: three more attempts may fail.
    expect(second!.message.taskExecution!.interruptions).toBe(1);
    await fleet.complete(second!);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("that is handed back fails the attempt as an interruption, and the next one is claimed at once", async () => {
    const run = await fleet.start("\n      tasks: [{name: task, input: 1}]");
    const [first] = await fleet.claim(["task"]);
    const handBack = () => fleet.report(first!, { case: "released", value: {} });
    expect(await handBack()).toBe("UPDATED");
    expect(await handBack()).toBe("UNCHANGED");
    expect((await run.get("task")).error?.type).toBe("Released");
    const [second] = await fleet.claim(["task"]);
    expect(second).toMatchObject({ attempt: 2, idx: 1, input: 1 });
    expect(second!.message.taskExecution!.interruptions).toBe(1);
    await fleet.complete(second!);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("that is handed back after the task was cancelled ends it cancelled", async () => {
    const run = await fleet.start(one);
    const [held] = await fleet.claim(["task"]);
    await fleet.tasks.cancelTaskExecution({ id: held!.id });
    const handBack = () => fleet.report(held!, { case: "released", value: {} });
    expect(await handBack()).toBe("UPDATED");
    expect(await handBack()).toBe("UNCHANGED");
    expect(await run.tasks()).toEqual(["task/0 CANCELLED"]);
  });

  test("that is just over still serves heartbeats and reports, for a while", async () => {
    const run = await fleet.start(one);
    const [held] = await fleet.claim(["task"]);
    await age(held!.id, 31);
    await sweep();
    expect(await beat(held!)).toBe("HELD");
    await age(held!.id, 31);
    expect(await fleet.complete(held!)).toBe("UPDATED");
    expect(await run.status()).toBe("COMPLETED");
  });

  test("that is lost refuses what its worker hands in, and keeps it as a late result", async () => {
    const run = await fleet.start(one);
    const [zombie] = await fleet.claim(["task"]);
    await age(zombie!.id, 60);
    await sweep();
    const [next] = await fleet.claim(["task"]);
    expect(await beat(zombie!)).toBe("LOST");
    expect(await fleet.complete(zombie!, "late")).toBe("LEASE_LOST");
    expect(await fleet.complete(zombie!, "late")).toBe("LEASE_LOST");
    expect(await fleet.complete(next!, "new")).toBe("UPDATED");
    expect((await run.get("task")).error?.type).toBe("LeaseExpired");
    expect(jsonOf((await run.get("task", 1)).output)).toBe("new");
    const { events } = await fleet.tasks.listTaskExecutionEvents({ id: zombie!.id });
    expect(events.filter(({ type }) => type === 12)).toHaveLength(1);
    // A newer attempt has completed: it is too late even for that.
    expect(await outcomeOf(fleet.tasks.adoptLateResult({ id: zombie!.id }))).toBe("NOTHING_TO_ADOPT");
  });

  test("that is lost can have its late result adopted while no newer attempt has completed", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: task}
      - {name: after, input: "{{task.output}}"}`);
    const [zombie] = await fleet.claim(["task"]);
    await age(zombie!.id, 60);
    await sweep();
    const [next] = await fleet.claim(["task"]);
    await fleet.complete(zombie!, "late");
    const { taskExecution } = await fleet.tasks.adoptLateResult({ id: zombie!.id, reason: "it is right" });
    expect(taskExecution).toMatchObject({ taskExecutionIdx: 2 });
    expect((await fleet.tasks.adoptLateResult({ id: zombie!.id })).taskExecution!.id).toBe(taskExecution!.id);
    expect(await fleet.complete(next!, "new")).toBe("LEASE_LOST");
    const [after] = await fleet.claim(["after"]);
    expect(after!.input).toBe("late");
    expect(await run.tasks()).toEqual([
      "after/0 RUNNING",
      "task/0 FAILED",
      "task/1 CANCELLED",
      "task/2 COMPLETED",
    ]);
    await fleet.complete(after!);
  });

  test("answers a repeated report as the first time, five times over", async () => {
    const run = await fleet.start(one);
    const [held] = await fleet.claim(["task"]);
    const before = [];
    for (let time = 0; time < 5; time++) before.push(await fleet.complete(held!, { done: true }));
    expect(before).toEqual(["UPDATED", "UNCHANGED", "UNCHANGED", "UNCHANGED", "UNCHANGED"]);
    const record = await run.get("task");
    const { events } = await fleet.tasks.listTaskExecutionEvents({ id: held!.id });
    expect(events).toHaveLength(3);
    expect(record.endTime).toEqual(events[2]!.createTime);
  });

  test("gives a repeated claim what it gave before", async () => {
    await fleet.start(one);
    await fleet.start(one);
    const requestId = randomUUID();
    const first = await fleet.claim(["task"], 1, requestId);
    const again = await fleet.claim(["task"], 1, requestId);
    expect(again.map(({ id, token }) => [id, token])).toEqual(first.map(({ id, token }) => [id, token]));
    const [other] = await fleet.claim(["task"]);
    expect(other!.id).not.toBe(first[0]!.id);
    await Promise.all([...first, other!].map((task) => fleet.complete(task)));
  });

  test("under another token, or of a task that is not there, is lost: both are answered alike", async () => {
    await fleet.start(one);
    const [held] = await fleet.claim(["task"]);
    const results = await fleet.client.reportTaskExecutions({
      reports: [
        { id: held!.id, token: held!.token + 7n, result: { case: "completed", value: {} } },
        { id: randomUUID(), token: held!.token, result: { case: "completed", value: {} } },
      ],
    });
    const [invented, foreign] = results.results.map(({ result }) =>
      result.case === "error" ? result.value : undefined,
    );
    expect(invented).toEqual(foreign);
    expect(invented!.code).toBe(9);
    expect(await beat({ id: held!.id, token: held!.token + 7n })).toBe("LOST");
    expect(await beat(held!)).toBe("HELD");
    await fleet.complete(held!);
  });

  test("is told at the next heartbeat that the task is to be stopped, and ends when the worker confirms", async () => {
    const run = await fleet.start(one);
    const [held] = await fleet.claim(["task"]);
    const { taskExecution } = await fleet.tasks.cancelTaskExecution({ id: held!.id });
    await fleet.tasks.cancelTaskExecution({ id: held!.id });
    expect(taskExecution!.status).toBe(2);
    expect(await beat(held!)).toBe("CANCEL_REQUESTED");
    expect(await fleet.report(held!, { case: "cancelled", value: {} })).toBe("UPDATED");
    expect(await run.status()).toBe("CANCELLED");
  });

  test("of a cancelled run ends as cancelled when it runs out, and nothing more is queued", async () => {
    const run = await fleet.start("\n      tasks: [{name: task}, {name: other, executor: task}]");
    const [held] = await fleet.claim(["task"]);
    await fleet.runs.cancelFlowExecution({ id: run.id });
    expect(await run.status()).toBe("CANCELLED");
    await age(held!.id, 60);
    await sweep();
    expect((await run.tasks()).map((task) => task.split(" ")[1])).toEqual(["CANCELLED", "CANCELLED"]);
  });

  test("of a deleted task is lost, and an undeleted one is tried again", async () => {
    const run = await fleet.start(one);
    const [held] = await fleet.claim(["task"]);
    await fleet.tasks.deleteTaskExecution({ id: held!.id });
    expect(await beat(held!)).toBe("LOST");
    expect(await fleet.complete(held!)).toBe("LEASE_LOST");
    await fleet.tasks.undeleteTaskExecution({ id: held!.id });
    await sleep(10);
    await sweep();
    expect(await run.tasks()).toEqual(["task/0 FAILED", "task/1 QUEUED"]);
    await fleet.runs.deleteFlowExecution({ id: run.id });
    expect(await fleet.claim(["task"])).toEqual([]);
    await fleet.runs.undeleteFlowExecution({ id: run.id });
    const [again] = await fleet.claim(["task"]);
    expect(again).toMatchObject({ idx: 1 });
    await fleet.complete(again!);
  });

  test("of a task with a timeout that was deleted and undeleted is one that ran out, not one that took too long", async () => {
    const run = await fleet.start(
      "\n      tasks: [{name: slow, timeout: 1h}, {name: slower, executor: slow, timeout: 1h}]",
    );
    const [one, other] = await fleet.claim(["slow"], 2);
    await fleet.tasks.deleteTaskExecution({ id: one!.id });
    await fleet.tasks.undeleteTaskExecution({ id: one!.id });
    expect(await beat(one!)).toBe("LOST");
    expect(await beat(other!)).toBe("HELD");
    await sweep();
    expect((await run.get(one!.name)).error?.type).toBe("LeaseExpired");
    await fleet.runs.deleteFlowExecution({ id: run.id });
    await fleet.runs.undeleteFlowExecution({ id: run.id });
    expect(await beat(other!)).toBe("LOST");
    await sweep();
    expect((await run.get(other!.name)).error?.type).toBe("LeaseExpired");
    for (const again of await fleet.claim(["slow"], 2)) await fleet.complete(again);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("of a run that was cancelled, deleted and undeleted ends as cancelled", async () => {
    const run = await fleet.start(one);
    const [held] = await fleet.claim(["task"]);
    await fleet.runs.cancelFlowExecution({ id: run.id });
    await fleet.runs.deleteFlowExecution({ id: run.id });
    expect(await fleet.report(held!, { case: "cancelled", value: {} })).toBe("LEASE_LOST");
    await fleet.runs.undeleteFlowExecution({ id: run.id });
    await sweep();
    expect(await run.tasks()).toEqual(["task/0 CANCELLED"]);
    expect(await run.status()).toBe("CANCELLED");
  });

  test("ends with the attempt's timeout, however often it is kept", async () => {
    const run = await fleet.start("\n      tasks: [{name: slow, timeout: 1s}]");
    const [held] = await fleet.claim(["slow"]);
    await sleep(1050);
    expect(await beat(held!)).toBe("LOST");
    await sweep();
    expect((await run.get("slow")).error?.type).toBe("Timeout");
    expect(await run.status()).toBe("FAILED");
  });

  test("is refused to whoever reports past it", async () => {
    const run = await fleet.start(one);
    const key = { flowExecutionId: run.id, taskName: "task", taskExecutionIdx: 0 };
    expect(await outcomeOf(fleet.tasks.createTaskExecution({ ...key, status: 2 }))).toBe("DISPATCH_MISMATCH");
    const [held] = await fleet.claim(["task"]);
    expect(await outcomeOf(fleet.tasks.createTaskExecution({ ...key, status: 3 }))).toBe("LEASE_HELD");
    expect(await outcomeOf(fleet.tasks.createTaskExecution({ ...key, taskExecutionIdx: 1, status: 1 }))).toBe(
      "DISPATCH_MISMATCH",
    );
    await fleet.complete(held!);
  });

  test("shows who holds the task, since when, and how far it is", async () => {
    const run = await fleet.start(one);
    const [held] = await fleet.claim(["task"]);
    await fleet.client.heartbeatTaskExecutions({
      heartbeats: [{ id: held!.id, token: held!.token, progress: { fraction: 0.25, message: "reading" } }],
    });
    const { lease } = await run.get("task");
    expect(lease).toMatchObject({
      workerId: "test",
      cancelRequested: false,
      progress: { fraction: 0.25, message: "reading" },
    });
    await fleet.complete(held!);
    expect((await run.get("task")).lease).toBeUndefined();
  });

  test("of a task that takes its worker down each time is not given out for ever", async () => {
    const run = await fleet.start(one);
    for (let attempt = 1; attempt <= 10; attempt++) {
      await asSuperuser(
        fleet.database.superuserUrl,
        "update task_execution set available_time = now() where status = 'queued'",
      );
      const [held] = await fleet.claim(["task"]);
      expect(held).toMatchObject({ attempt });
      await age(held!.id, 60);
      await sweep();
    }
    expect(await fleet.claim(["task"])).toEqual([]);
    expect(await run.status()).toBe("FAILED");
  });
});

describe("a lease that the database finds without an index", () => {
  let fleet: Fleet;
  beforeAll(async () => {
    const database = await openDatabase();
    const { pathname } = new URL(database.serviceUrl);
    for (const setting of ["enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"]) {
      await asSuperuser(
        database.superuserUrl,
        `alter role taskledger_service in database ${pathname.slice(1)} set ${setting} = off`,
      );
    }
    fleet = await openFleet(database);
  });
  afterAll(() => fleet.close());

  // A heartbeat for many tasks takes the rows of their leases in the order of the ids. What a report or a cancel does
  // with them must take them in that order too, or the two could wait for each other.
  test.each(["report", "cancel"])("is taken in the order of ids by a %s of many", async (what) => {
    const run = await fleet.start("\n      tasks: [{name: many, for_each: '{{input}}'}]", [1, 2, 3, 4, 5]);
    const held = await fleet.claim(["many"], 5);
    const ids = held.map(({ id }) => id).sort();
    // The row of the first id now lies behind the others.
    await asSuperuser(
      fleet.database.superuserUrl,
      "update task_lease set expire_time = expire_time where task_execution_id = $1",
      [ids[0]],
    );
    const heartbeat = new Client({ connectionString: fleet.database.superuserUrl });
    await heartbeat.connect();
    try {
      await heartbeat.query("begin");
      await heartbeat.query("select from task_lease where task_execution_id = $1 for update", [ids[0]]);
      const reports = held.map(({ id, token }) => ({
        id,
        token,
        result: { case: "completed", value: {} } as const,
      }));
      const call =
        what === "report"
          ? fleet.client.reportTaskExecutions({ reports })
          : fleet.runs.cancelFlowExecution({ id: run.id });
      const waiting = () =>
        asSuperuser(
          fleet.database.superuserUrl,
          "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        );
      await expect.poll(waiting, { interval: 5, timeout: 1500 }).toHaveLength(1);
      const free = await heartbeat.query(
        "select from task_lease where task_execution_id = any($1) for update skip locked",
        [ids],
      );
      expect(free.rowCount).toBe(5);
      await heartbeat.query("rollback");
      await call;
    } finally {
      await heartbeat.end();
    }
    for (const task of held) await fleet.report(task, { case: "cancelled", value: {} });
  });
});
