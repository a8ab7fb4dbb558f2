import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { outcomeOf } from "../client.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";
import { startTestService } from "../service.ts";
import { type Fleet, openFleet } from "./fleet.ts";

/** A flow of many tasks that can all be claimed at once. */
function wide(count: number, executor: string): string {
  const tasks = Array.from({ length: count }, (_, task) => `- {name: t${task}, executor: ${executor}}`);
  return `\ntasks:\n${tasks.join("\n")}`;
}

describe("a claim", () => {
  let fleet: Fleet;
  let neighbour: Fleet;
  beforeAll(async () => {
    fleet = await openFleet();
    neighbour = await openFleet(fleet.database);
  });
  afterAll(() => fleet.close());

  test("never gives more than it is asked for, whatever plan the database takes", async () => {
    const executor = randomUUID();
    await fleet.start(wide(200, executor));
    const role = "taskledger_service";
    for (const setting of ["enable_hashjoin", "enable_mergejoin", "enable_material", "enable_sort"]) {
      await asSuperuser(
        fleet.database.superuserUrl,
        `alter role ${role} in database ${databaseOf(fleet)} set ${setting} = off`,
      );
    }
    const seen = new Set<string>();
    for (let round = 0; round < 50; round++) {
      const claimed = await fleet.claim([executor], 1 + (round % 3));
      expect(claimed.length).toBeLessThanOrEqual(1 + (round % 3));
      for (const { id } of claimed) seen.add(id);
    }
    const [row] = await asSuperuser<{ count: number }>(
      fleet.database.superuserUrl,
      "select count(*)::int as count from task_lease where request_id <> '' and organization_id = $1",
      [fleet.organizationId],
    );
    expect(row!.count).toBe(seen.size);
  });

  test("takes turns between runs, and takes those of a higher priority first", async () => {
    const executor = randomUUID();
    const runs = [await fleet.start(wide(20, executor)), await fleet.start(wide(20, executor))];
    const urgent = await fleet.start(wide(3, executor), undefined, { priority: 5 });
    const order: string[] = [];
    for (let round = 0; round < 5; round++) {
      const [first, second] = await fleet.claim([executor], 2);
      order.push(...[first!, second!].map(({ message }) => message.taskExecution!.flowExecutionId));
    }
    expect(order.slice(0, 3)).toEqual([urgent.id, urgent.id, urgent.id]);
    const rest = order.slice(3);
    for (const { id } of runs) expect(rest.filter((run) => run === id).length).toBeGreaterThanOrEqual(3);
  });

  test("of a run that was made last does not wait for ten thousand tasks of another run", async () => {
    const executor = randomUUID();
    await fleet.start(wide(2000, executor));
    const late = await fleet.start(wide(1, executor));
    const claimed = await fleet.claim([executor], 4);
    expect(claimed.map(({ message }) => message.taskExecution!.flowExecutionId)).toContain(late.id);
  });

  // Many runs wait for the backoff of a retry. What can be claimed stands among them, wherever the last claim was.
  test.each([
    ["of the same priority", 0, 0],
    ["of a higher priority", 1, 0],
    ["of both priorities", 1, 40],
  ])("is not kept from a run by many that wait %s", async (_what, priority, others) => {
    const executor = randomUUID();
    const definition = `name: ${executor}\ntasks: [{name: t, executor: ${executor}}]`;
    const { flow } = await fleet.flows.createFlow({ definition });
    const start = async (rank: number) => {
      const request = {
        flowId: flow!.id,
        requestId: randomUUID(),
        dispatch: Dispatch.MANAGED,
        priority: rank,
      };
      return (await fleet.runs.createFlowExecution(request)).flowExecution!.id;
    };
    const makeWait = (ids: readonly string[], interval: string) =>
      asSuperuser(
        fleet.database.superuserUrl,
        "update task_execution set available_time = now() + $2::interval where flow_execution_id = any($1)",
        [ids, interval],
      );
    const waiting: string[] = [];
    for (let n = 0; n < 40; n++) waiting.push(await start(priority));
    for (let n = 0; n < others; n++) waiting.push(await start(0));
    const hidden = await start(0);
    for (let n = 0; n < 5; n++) waiting.push(await start(0));
    await makeWait([...waiting, hidden], "1 hour");
    // The last claim was behind all of these.
    const last = await start(0);
    expect(await fleet.claim([executor], 1)).toMatchObject([
      { message: { taskExecution: { flowExecutionId: last } } },
    ]);
    await makeWait([hidden], "-1 second");
    const claimed = [...(await fleet.claim([executor], 1)), ...(await fleet.claim([executor], 1))];
    expect(claimed).toMatchObject([{ message: { taskExecution: { flowExecutionId: hidden } } }]);
  });

  test("gives nothing of another organization", async () => {
    const executor = randomUUID();
    await neighbour.start(wide(3, executor));
    expect(await fleet.claim([executor], 10)).toEqual([]);
    expect(await neighbour.claim([executor], 10)).toHaveLength(3);
  });

  test("gives only what an executor of it can do", async () => {
    const executor = randomUUID();
    await fleet.start(wide(1, executor));
    expect(await fleet.claim([`${executor}-other`], 10)).toEqual([]);
    expect(await fleet.claim([`${executor}-other`, executor], 10)).toHaveLength(1);
  });

  test("takes only as many large inputs as fit an answer", async () => {
    const executor = randomUUID();
    const big = "x".repeat(1_000_000);
    await fleet.start(
      `
      tasks:
      - {name: each, executor: ${executor}, for_each: "{{input.items}}", input: "{{input.big}}"}`,
      {
        big,
        items: [1, 2, 3, 4, 5, 6],
      },
    );
    const claimed = await fleet.claim([executor], 100);
    expect(claimed).toHaveLength(3);
    expect(await fleet.claim([executor], 100)).toHaveLength(3);
  });

  test.each([
    ["no task", { maxTaskExecutions: 0 }],
    ["101 tasks", { maxTaskExecutions: 101 }],
    ["no executor", { executors: [] }],
    ["an executor twice", { executors: ["a", "a"] }],
    ["no worker", { workerId: "" }],
    ["no request id", { requestId: "" }],
    ["a wait of 61 s", { wait: { seconds: 61n, nanos: 0 } }],
  ])("of %s is refused", async (_what, wrong) => {
    const request = { executors: ["a"], maxTaskExecutions: 1, workerId: "w", requestId: "r", ...wrong };
    expect(await outcomeOf(fleet.client.claimTaskExecutions(request))).toBe("VALIDATION_FAILED");
  });

  test("that is refused as a part of reports changes nothing", async () => {
    const executor = randomUUID();
    await fleet.start(wide(1, executor));
    const [held] = await fleet.claim([executor]);
    const report = { id: held!.id, token: held!.token, result: { case: "completed", value: {} } as const };
    const claim = { executors: [], maxTaskExecutions: 1, workerId: "w", requestId: "r" };
    expect(await outcomeOf(fleet.client.reportTaskExecutions({ reports: [report], claim }))).toBe(
      "VALIDATION_FAILED",
    );
    expect(await fleet.complete(held!)).toBe("UPDATED");
  });
});

describe("a claim that waits", () => {
  let database: TestDatabase;
  let services: Awaited<ReturnType<typeof startTestService>>[];
  beforeAll(async () => {
    database = await openDatabase();
    services = [await startTestService(database.serviceUrl), await startTestService(database.serviceUrl)];
    // The notes between the processes begin to flow a moment after the start.
    await sleep(200);
  });
  afterAll(async () => {
    for (const service of services) await service[Symbol.asyncDispose]();
    await database.close();
  });

  const wait = (executor: string, seconds: number, service = services[0]!) =>
    service.client(WorkerService).claimTaskExecutions({
      executors: [executor],
      maxTaskExecutions: 1,
      workerId: "w",
      requestId: randomUUID(),
      wait: { seconds: BigInt(seconds), nanos: 0 },
    });

  async function givenFlow(executor: string, more = ""): Promise<string> {
    const definition = `name: ${executor}\ntasks: [{name: t, executor: ${executor}${more}}]`;
    return (await services[0]!.client(FlowService).createFlow({ definition })).flow!.id;
  }

  const start = (flowId: string, service = services[0]!) =>
    service
      .client(FlowExecutionService)
      .createFlowExecution({ flowId, requestId: randomUUID(), dispatch: Dispatch.MANAGED });

  test.each([
    ["the same server", 0],
    ["another server", 1],
  ])("is answered within 50 ms of a task becoming ready on %s", async (_where, other) => {
    const executor = randomUUID();
    const flowId = await givenFlow(executor);
    const delays: number[] = [];
    for (let round = 0; round < 10; round++) {
      const waiting = wait(executor, 10);
      await sleep(60);
      await start(flowId, services[other]!);
      const committed = performance.now();
      expect((await waiting).claimed).toHaveLength(1);
      delays.push(performance.now() - committed);
    }
    expect(delays.sort((a, b) => a - b)[5]).toBeLessThan(50);
  });

  test("is answered when the backoff of a retry is over", async () => {
    const executor = randomUUID();
    const flowId = await givenFlow(executor, ", retry: {max_attempts: 2, initial_backoff: 300ms}");
    await start(flowId, services[1]!);
    const { claimed } = await wait(executor, 5);
    const { token, taskExecution } = claimed[0]!;
    await services[1]!.client(WorkerService).reportTaskExecutions({
      reports: [
        { id: taskExecution!.id, token, result: { case: "failed", value: { error: { message: "no" } } } },
      ],
    });
    const failed = performance.now();
    expect((await wait(executor, 5)).claimed).toHaveLength(1);
    const tookMs = performance.now() - failed;
    expect(tookMs).toBeGreaterThan(100);
    expect(tookMs).toBeLessThan(450);
  });

  test("is answered when a run is undeleted, without looking by itself", async () => {
    const executor = randomUUID();
    const { flowExecution } = await start(await givenFlow(executor));
    const { id } = flowExecution!;
    const runs = services[1]!.client(FlowExecutionService);
    const delays: number[] = [];
    for (let round = 0; round < 5; round++) {
      await runs.deleteFlowExecution({ id });
      const waiting = wait(executor, 10);
      await sleep(60);
      await runs.undeleteFlowExecution({ id });
      const committed = performance.now();
      const [claimed] = (await waiting).claimed;
      delays.push(performance.now() - committed);
      const report = { id: claimed!.taskExecution!.id, token: claimed!.token };
      await services[0]!.client(WorkerService).reportTaskExecutions({
        reports: [{ ...report, result: { case: "released", value: {} } }],
      });
    }
    // Whoever waits also looks once a second: five times this early is no chance.
    expect(Math.max(...delays)).toBeLessThan(350);
  });

  test("is answered with nothing when the time is over", async () => {
    const begun = performance.now();
    expect((await wait(randomUUID(), 1)).claimed).toEqual([]);
    expect(performance.now() - begun).toBeGreaterThan(950);
  });

  test("gives each of many that wait its own task, and wakes them all in turn", async () => {
    const executor = randomUUID();
    const flowId = await givenFlow(executor);
    const waiting = Array.from({ length: 30 }, (_, index) => wait(executor, 10, services[index % 2]!));
    await sleep(100);
    await Promise.all(Array.from({ length: 30 }, (_, index) => start(flowId, services[index % 2]!)));
    const ids = (await Promise.all(waiting)).flatMap(({ claimed }) =>
      claimed.map(({ taskExecution }) => taskExecution!.id),
    );
    expect(new Set(ids).size).toBe(30);
  });

  test("is answered when the server shuts down, and nothing is given to it", async () => {
    const service = await startTestService(database.serviceUrl);
    const waiting = outcomeOf(wait(randomUUID(), 30, service));
    await sleep(100);
    const begun = performance.now();
    await service[Symbol.asyncDispose]();
    expect(["ok", "DRAINING"]).toContain(await waiting);
    expect(performance.now() - begun).toBeLessThan(5000);
  });
});

function databaseOf({ database }: Fleet): string {
  return new URL(database.serviceUrl).pathname.slice(1);
}
