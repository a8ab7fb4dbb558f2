import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  HeartbeatTaskExecutionsResponse_State as State,
  WorkerService,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import { toMs } from "../../src/flow/duration.ts";
import { callerFrom, clientOf, nameIn, outcomeOf } from "../client.ts";
import { asSuperuser } from "../database.ts";
import type { Fleet, Held } from "./fleet.ts";
import { openNeighbours } from "./neighbours.ts";
import type { RunCheck } from "./run-check.ts";
import { sweeperOf } from "./sweeper.ts";

describe("a lease in a race", () => {
  let fleet: Fleet;
  let neighbour: Fleet;
  let check: RunCheck;
  let sweep: () => Promise<void>;
  let close: () => Promise<void>;
  beforeAll(async () => {
    ({ fleet, neighbour, check, sweep, close } = await openNeighbours());
  });
  afterAll(() => close());

  const beat = ({ id, token }: Held) => fleet.client.heartbeatTaskExecutions({ heartbeats: [{ id, token }] });
  const waiters = async () =>
    (
      await asSuperuser(
        fleet.database.superuserUrl,
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      )
    ).length;

  /** Locks what a statement does, until it is released. */
  async function hold(lock: string, id: string) {
    const holder = new Client({ connectionString: fleet.database.superuserUrl });
    await holder.connect();
    await holder.query("begin");
    await holder.query(lock, [id]);
    return {
      /** Waits until so many statements wait for the lock. */
      waitedFor: (count: number) => expect.poll(waiters, { interval: 5, timeout: 1800 }).toBe(count),
      release: () => holder.end(),
    };
  }
  /** Begins something that has to wait for a lock for a second and a half, and returns what comes of it. */
  async function afterWait<T>(lock: string, id: string, begin: () => Promise<T>): Promise<T> {
    const held = await hold(lock, id);
    const result = begin();
    await held.waitedFor(1);
    await sleep(1500);
    await held.release();
    return result;
  }
  /** Sets the end of a lease by the database's clock. */
  const move = (id: string, by: string) =>
    asSuperuser(
      fleet.database.superuserUrl,
      "update task_lease set expire_time = clock_timestamp() + $2::interval where task_execution_id = $1",
      [id, by],
    );
  const lockRun = "select from flow_execution where id = $1 for update";
  const lockLease = "select from task_lease where task_execution_id = $1 for update";

  // The sweeper has found a lease that ran out. Before it can end the attempt, the worker hands in its result.
  test("does not end an attempt that was reported between the sweeper's look and its lock", async () => {
    const run = await fleet.start("\n      tasks: [{name: gap}]");
    const held = await fleet.claimOne("gap");
    await check.hurry(run.id);
    const lock = await hold(lockRun, run.id);
    const report = fleet.complete(held, "done");
    await lock.waitedFor(1);
    const sweeping = sweep();
    await lock.waitedFor(2);
    await lock.release();
    expect(await report).toBe("UPDATED");
    await sweeping;
    expect(await run.tasks()).toEqual(["gap/0 COMPLETED"]);
  });

  test("does not end an attempt whose worker was heard of between the sweeper's look and its lock", async () => {
    const run = await fleet.start("\n      tasks: [{name: gap}]");
    const held = await fleet.claimOne("gap");
    const lock = await hold(lockRun, run.id);
    await move(held.id, "-1 hour");
    const sweeping = sweep();
    await lock.waitedFor(1);
    // A heartbeat takes no lock of the run: the lease was over for a moment only, and is kept.
    await move(held.id, "-1 second");
    expect((await beat(held)).results[0]!.state).toBe(State.HELD);
    await lock.release();
    await sweeping;
    expect(await run.tasks()).toEqual(["gap/0 RUNNING"]);
    await fleet.complete(held);
  });

  test("ends an attempt once when two sweepers find it, and leaves the lease of the next one alone", async () => {
    const run = await fleet.start("\n      tasks: [{name: gap}]");
    await fleet.claimOne("gap");
    await check.hurry(run.id);
    const other = sweeperOf(fleet.database);
    const lock = await hold(lockRun, run.id);
    const sweeping = Promise.all([sweep(), other()]);
    await lock.waitedFor(2);
    await lock.release();
    await sweeping;
    const next = await fleet.claimOne("gap");
    await Promise.all([sweep(), other()]);
    expect(await run.tasks()).toEqual(["gap/0 FAILED", "gap/1 RUNNING"]);
    expect(await fleet.complete(next)).toBe("UPDATED");
  });

  // Somebody holds the row for a second and a half. A lease that was reckoned before the wait would be shorter by that.
  test("lasts its full length after its claim or heartbeat had to wait for a lock", async () => {
    const run = await fleet.start("\n      tasks: [{name: long, lease: 4s}]");
    const claimed = await afterWait(lockRun, run.id, () => fleet.claim(["long"]));
    const [held] = claimed;
    expect(toMs(held!.message.lease)).toBeGreaterThan(0.95 * 4000);
    const { results } = await afterWait(lockLease, held!.id, () => beat(held!));
    expect(nameIn(State, results[0]!.state)).toBe("HELD");
    expect(toMs(results[0]!.remaining)).toBeGreaterThan(0.95 * 4000);
    await fleet.complete(held!);
  });

  test("is kept by the database's clock, however wrong those of the servers are", async () => {
    const hour = 3_600_000;
    const skewed = [-hour, hour].map((ms) => ({
      client: clientOf(WorkerService, fleet.database, callerFrom(fleet.organizationId), {
        now: () => new Date(Date.now() + ms),
      }),
      sweep: sweeperOf(fleet.database, () => new Date(Date.now() + ms)),
    }));
    const run = await fleet.start(
      "\n      tasks: [{name: skew, for_each: '{{input}}', retry: {max_attempts: 2, initial_backoff: 30s}}]",
      [1, 2, 3, 4],
    );
    for (const { client } of skewed) {
      const claim = { executors: ["skew"], maxTaskExecutions: 2, workerId: "w", requestId: randomUUID() };
      const { claimed } = await client.claimTaskExecutions(claim);
      for (const { lease } of claimed) {
        expect(toMs(lease)).toBeGreaterThan(29_000);
        expect(toMs(lease)).toBeLessThanOrEqual(30_000);
      }
      const heartbeats = claimed.map(({ taskExecution, token }) => ({ id: taskExecution!.id, token }));
      const { results } = await client.heartbeatTaskExecutions({ heartbeats });
      expect(results.map(({ state }) => state)).toEqual([State.HELD, State.HELD]);
      const failed = { case: "failed", value: { error: { message: "no" } } } as const;
      await client.reportTaskExecutions({ reports: [{ ...heartbeats[0]!, result: failed }] });
    }
    for (const other of skewed) {
      await other.sweep();
      // The retries wait for half a minute, whoever asks.
      const claim = { executors: ["skew"], maxTaskExecutions: 10, workerId: "w", requestId: randomUUID() };
      expect((await other.client.claimTaskExecutions(claim)).claimed).toEqual([]);
    }
    const statuses = (await run.tasks()).map((task) => task.split(" ")[1]!).sort();
    expect(statuses).toEqual(["FAILED", "FAILED", "QUEUED", "QUEUED", "RUNNING", "RUNNING"]);
    await check.hurry(run.id);
    await skewed[0]!.sweep();
    expect((await run.tasks()).filter((task) => task.endsWith("RUNNING"))).toEqual([]);
  });

  // A worker reports, a person cancels, and the lease runs out, all at the same moment.
  test("has one winner among report, cancel and sweeper, two hundred times", {
    timeout: 60_000,
  }, async () => {
    const { flow } = await fleet.flows.createFlow({
      definition: `name: ${randomUUID()}\ntasks: [{name: race}]`,
    });
    const winners: string[] = [];
    for (let round = 0; round < 13; round++) {
      const runs = await Promise.all(
        Array.from({ length: 16 }, () =>
          fleet.runs.createFlowExecution({
            flowId: flow!.id,
            requestId: randomUUID(),
            dispatch: Dispatch.MANAGED,
          }),
        ),
      );
      const held = await fleet.claim(["race"], 16);
      expect(held).toHaveLength(16);
      for (const { flowExecution } of runs) await check.hurry(flowExecution!.id);
      const sweeping = Promise.all([sweep(), sweep()]);
      const told = await Promise.all(
        held.map(async (task, n) => {
          // The sweeper takes the runs one after the other: some before their worker comes, some after.
          await sleep(n * 4);
          const cancelling = outcomeOf(fleet.tasks.cancelTaskExecution({ id: task.id }));
          const reported = await fleet.complete(task, "done");
          return { cancelled: await cancelling, reported };
        }),
      );
      await sweeping;
      const ends = await endsOf(held);
      for (const [n, { id }] of held.entries()) {
        const { cancelled, reported } = told[n]!;
        const [end, ...more] = ends.get(id)!;
        expect(more).toEqual([]);
        expect(["completed", "failed", "cancelled"]).toContain(end);
        // Whoever was told that it worked is the one who ended it.
        expect(reported).toBe(end === "completed" ? "UPDATED" : "LEASE_LOST");
        expect(["ok", "ILLEGAL_TRANSITION"]).toContain(cancelled);
        winners.push(end!);
      }
      for (const task of await fleet.claim(["race"], 16)) await fleet.complete(task);
    }
    // Each of them won sometimes, or this race was none.
    const reports = winners.filter((end) => end === "completed").length;
    expect(reports).toBeGreaterThan(0);
    expect(reports).toBeLessThan(winners.length);
  });

  /** Returns the statuses in which records ended, by id; more than one if one was ended twice. */
  async function endsOf(held: readonly Held[]): Promise<Map<string, string[]>> {
    const rows = await asSuperuser<{ id: string; ends: string[] }>(
      fleet.database.superuserUrl,
      `select task_execution_id as id, array_agg(to_status order by revision) as ends
       from event
       where task_execution_id = any($1) and from_status is distinct from to_status
         and to_status not in ('queued', 'running')
       group by task_execution_id`,
      [held.map(({ id }) => id)],
    );
    return new Map(rows.map(({ id, ends }) => [id, ends]));
  }

  test("is never taken back by something that arrives late", async () => {
    const run = await fleet.start("\n      tasks: [{name: late}]");
    const requestId = randomUUID();
    const [held] = await fleet.claim(["late"], 1, requestId);
    await fleet.complete(held!, "done");
    const before = await run.get("late");
    expect(await fleet.claim(["late"], 1, requestId)).toEqual([]);
    expect((await beat(held!)).results[0]!.state).toBe(State.LOST);
    expect(await fleet.fail(held!, "Boom")).toBe("LEASE_LOST");
    expect(await outcomeOf(fleet.tasks.cancelTaskExecution({ id: held!.id }))).toBe("ILLEGAL_TRANSITION");
    const key = { flowExecutionId: run.id, taskName: "late", taskExecutionIdx: 0 };
    expect(await outcomeOf(fleet.tasks.createTaskExecution({ ...key, status: 2 }))).toBe(
      "ILLEGAL_TRANSITION",
    );
    await sweep();
    expect(await run.get("late")).toEqual(before);
  });

  test("that ran out ends in every organization, by a role that sees nothing of them but where they are", async () => {
    const runs = [
      await fleet.start("\n      tasks: [{name: everywhere, input: secret}]"),
      await neighbour.start("\n      tasks: [{name: everywhere, input: secret}]"),
    ];
    await fleet.claimOne("everywhere");
    await neighbour.claim(["everywhere"]);
    for (const { id } of runs) await check.hurry(id);

    const service = new Client({ connectionString: fleet.database.serviceUrl });
    await service.connect();
    const rows = async (sql: string) => (await service.query(sql)).rows;
    const due = await rows(
      "select * from find_due_leases(interval '0', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 1000)",
    );
    expect(new Set(due.map(({ organization_id }) => organization_id))).toEqual(
      new Set([fleet.organizationId, neighbour.organizationId]),
    );
    expect(Object.keys(due[0]!).sort()).toEqual([
      "flow_execution_id",
      "organization_id",
      "task_execution_id",
    ]);
    for (const table of [
      "task_lease",
      "task_execution",
      "flow_execution",
      "event",
      "late_result",
      "re_execution",
    ]) {
      expect(await rows(`select * from ${table}`)).toEqual([]);
      expect(
        (
          await service
            .query(`update ${table} set organization_id = organization_id`)
            .catch(() => ({ rowCount: 0 }))
        ).rowCount,
      ).toBe(0);
    }
    // What the function's owner may look at is not what the service may.
    await expect(
      rows("select pg_get_functiondef('find_due_leases'::regproc); set role taskledger_owner"),
    ).rejects.toThrow();
    await service.end();

    await sweep();
    for (const run of runs) expect((await run.get("everywhere")).error?.type).toBe("LeaseExpired");
    expect(await outcomeOf(fleet.runs.getFlowExecution({ id: runs[1]!.id }))).toBe("NOT_FOUND");
  });
});
