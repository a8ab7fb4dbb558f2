import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FlowExecution_Dispatch as Dispatch } from "../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../gen/taskledger/v1/flow_service_pb.ts";
import { TaskExecution_Status as Status } from "../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../gen/taskledger/v1/task_execution_service_pb.ts";
import { WorkerService } from "../gen/taskledger/v1/worker_service_pb.ts";
import { freePort } from "../src/db/embedded/free-port.ts";
import { defaultOrganizationId } from "../src/organization/bootstrap.ts";
import { outcomeOf } from "./client.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "./database.ts";
import { givenRun } from "./runs.ts";
import { bootstrapKey, serviceAt, startServiceProcess } from "./service.ts";

// Whoever reads the log of the service is a process like any other, and may end before it.
describe("a service whose log nobody reads any more", () => {
  let database: TestDatabase;
  const started: ChildProcess[] = [];
  beforeAll(async () => {
    database = await openDatabase();
  });
  afterAll(async () => {
    for (const child of started) child.kill("SIGKILL");
    await database?.close();
  });

  /** Starts the program; what it writes leads nowhere from the beginning. */
  function start(env: Readonly<Record<string, string>>): ChildProcess {
    const program = fileURLToPath(new URL("../src/main.ts", import.meta.url));
    const child = spawn(process.execPath, [program], {
      env: { PATH: process.env["PATH"], DATABASE_URL: database.serviceUrl, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    child.stdout!.destroy();
    started.push(child);
    return child;
  }

  async function exitCodeOf(child: ChildProcess): Promise<unknown> {
    return (
      child.exitCode ??
      (await Promise.race([once(child, "exit").then(([code]) => code), sleep(15_000, "none")]))
    );
  }

  test("serves, and ends when it is told to", async () => {
    const port = await freePort();
    const child = start({ PORT: String(port), TASKLEDGER_BOOTSTRAP_KEY: bootstrapKey });
    const isServing = () =>
      fetch(`http://127.0.0.1:${port}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await expect.poll(isServing, { timeout: 15_000 }).toBe(true);
    child.kill("SIGTERM");
    expect(await exitCodeOf(child)).toBe(0);
  });

  test("ends when it cannot start", async () => {
    expect(await exitCodeOf(start({ PORT: "none" }))).toBe(1);
  });
});

describe("a service that is told to end", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openDatabase();
  });
  afterAll(() => database?.close());

  /** Holds the lock of a run, so that calls that change it stay in flight. */
  async function holdRun(id: string): Promise<Client> {
    const client = new Client({ connectionString: database.superuserUrl });
    await client.connect();
    await client.query("begin");
    await client.query("select from flow_execution where id = $1 for update", [id]);
    return client;
  }

  const waitingStatements = async () => {
    const [row] = await asSuperuser<{ count: number }>(
      database.superuserUrl,
      "select count(*)::int from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
    );
    return row!.count;
  };

  test("lets fifty calls end well, ends twenty watches, and leaves five leases as they are", async () => {
    await using service = await startServiceProcess(database.serviceUrl, {
      DATABASE_POOL: "60",
      // A busy machine may take its time.
      DATABASE_LOCK_TIMEOUT_MS: "20000",
      DATABASE_STATEMENT_TIMEOUT_MS: "20000",
    });
    const { flow } = await service.client(FlowService).createFlow({
      definition:
        "name: f\ntasks: [{name: a, executor: x}, {name: b, executor: x}, {name: c, executor: x}, {name: d, executor: x}, {name: e, executor: x}]\n",
    });
    const start = (requestId: string, dispatch: Dispatch) =>
      service.client(FlowExecutionService).createFlowExecution({ flowId: flow!.id, requestId, dispatch });
    await start("managed", Dispatch.MANAGED);
    const { flowExecution: run } = await start("external", Dispatch.EXTERNAL);
    const flowExecutionId = run!.id;
    const claim = { executors: ["x"], maxTaskExecutions: 5, workerId: "w", requestId: "claim" };
    expect((await service.client(WorkerService).claimTaskExecutions(claim)).claimed).toHaveLength(5);
    const leases = () =>
      asSuperuser(
        database.superuserUrl,
        "select * from task_lease order by organization_id, task_execution_id",
      );
    const before = await leases();

    const watches = Array.from({ length: 20 }, async () => {
      const watch = service
        .client(TaskExecutionService)
        .watchTaskExecutions({ flowExecutionId })
        [Symbol.asyncIterator]();
      await watch.next();
      return async () => {
        while (!(await watch.next()).done);
      };
    });
    const ends = (await Promise.all(watches)).map((end) => outcomeOf(end()));
    const holder = await holdRun(flowExecutionId);
    const tasks = serviceAt(service.port).client(TaskExecutionService);
    const calls = Array.from({ length: 50 }, (_, taskExecutionIdx) =>
      outcomeOf(
        tasks.createTaskExecution({
          flowExecutionId,
          taskName: "a",
          taskExecutionIdx,
          status: Status.QUEUED,
        }),
      ),
    );
    // One transaction for all of them waits.
    await expect.poll(waitingStatements).toBe(1);

    const ended = service.end("SIGTERM");
    expect(new Set(await Promise.all(ends))).toEqual(new Set(["DRAINING"]));
    await expect(
      outcomeOf(serviceAt(service.port).client(TaskExecutionService).listTaskExecutions({})),
    ).resolves.not.toBe("ok");
    await holder.query("rollback");
    await holder.end();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["ok"]));
    expect(await ended).toBe(0);
    expect(await leases()).toEqual(before);
  });

  test("ends at once when it is told so twice", async () => {
    await using service = await startServiceProcess(database.serviceUrl, { DRAIN_SECONDS: "3600" });
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
    const holder = await holdRun(flowExecutionId);
    const call = outcomeOf(
      service
        .client(TaskExecutionService)
        .createTaskExecution({ flowExecutionId, taskName: "task", status: Status.QUEUED }),
    );
    await expect.poll(waitingStatements).toBe(1);
    const ended = service.end("SIGTERM");
    await expect
      .poll(() =>
        fetch(`${service.origin}/readyz`).then(
          ({ status }) => status,
          () => 503,
        ),
      )
      .toBe(503);
    process.kill(service.pid, "SIGTERM");
    expect(await ended).toBe(1);
    expect(await call).not.toBe("ok");
    await holder.end();
  });
});

test("a log level that is none is refused by its name", async () => {
  const program = fileURLToPath(new URL("../src/main.ts", import.meta.url));
  const child = spawn(process.execPath, [program], {
    env: { LOG_LEVEL: "loud" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = await child.stdout.toArray();
  expect(JSON.parse(Buffer.concat(lines).toString()).msg).toMatch(/LOG_LEVEL/);
});
