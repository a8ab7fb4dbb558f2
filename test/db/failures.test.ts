import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { Client as DatabaseClient } from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ApiKey_Kind as Kind, ApiKey_Role as Role } from "../../gen/taskledger/v1/api_key_pb.ts";
import { ApiKeyService } from "../../gen/taskledger/v1/api_key_service_pb.ts";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  FlowExecutionService,
  ReExecuteFlowExecutionRequest_Scope as Scope,
} from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskTagOperation_Action as Action,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { services } from "../../src/app.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { ingestAll, outcomeOf } from "../client.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { serviceAt, startTestService, type TestService } from "../service.ts";
import { type DatabaseProxy, type Rule, startDatabaseProxy } from "./proxy.ts";

let database: TestDatabase;
let proxy: DatabaseProxy;
let service: Awaited<ReturnType<typeof startTestService>>;
let armed: Rule[] = [];

beforeAll(async () => {
  database = await openDatabase();
  proxy = await startDatabaseProxy(database.serviceUrl);
  service = await startTestService(proxy.url, { DATABASE_POOL: "5" });
  // The first use of a key is noted, which would be a commit too many.
  await service.client(OrganizationService).getOrganization({});
  await delay(200);
});
afterEach(() => {
  const struck = armed.map(({ hits }) => hits);
  armed = [];
  proxy.reset();
  // A fault that never struck tested nothing.
  expect(struck).not.toContain(0);
});
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
  await database?.close();
});

function inject(...rule: Parameters<DatabaseProxy["inject"]>): Rule {
  const made = proxy.inject(...rule);
  armed.push(made);
  return made;
}

const commit = /^\s*commit\b/i;
const tables = [
  "organization",
  "api_key",
  "flow",
  "flow_version",
  "flow_execution",
  "task_execution",
  "task_tag",
  "event",
  "task_lease",
  "late_result",
  "re_execution",
];

/** Returns how much each table holds, and how often its rows were changed. */
async function contents(): Promise<Record<string, number>> {
  const figures = tables.map((table) => {
    const changes = /^(flow|flow_execution|task_execution)$/.test(table)
      ? "coalesce(sum(etag), 0)"
      : table === "api_key"
        ? "count(revoke_time) + count(rotate_request_id)"
        : table === "task_lease"
          ? "count(progress)"
          : "coalesce(sum(0), 0)";
    return `(select count(*) from ${table})::int as ${table}, (select ${changes} from ${table})::int as ${table}_changes`;
  });
  const [row] = await asSuperuser<Record<string, number>>(
    database.superuserUrl,
    `select ${figures.join(", ")}`,
  );
  return row!;
}

/** Runs something and returns what it changed. */
async function changesOf(run: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await contents();
  await run();
  const after = await contents();
  return Object.fromEntries(
    Object.entries(after)
      .map(([name, value]) => [name, value - before[name]!] as const)
      .filter(([, value]) => value !== 0),
  );
}

/** Prepares what a method needs and returns the call, which is the same each time. */
type Prepare = (service: TestService) => Promise<() => Promise<unknown>>;

const definition = (version = 1) =>
  `name: flow-${randomUUID()}\ndescription: "${version}"\ntasks:\n  - name: task\n`;
const text = (value: string) => fromJson(ValueSchema, value);

async function givenRecord(service: TestService, status: Status = Status.FAILED) {
  const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
  const report = { flowExecutionId, taskName: "task", status };
  return (await service.client(TaskExecutionService).createTaskExecution(report)).taskExecution!;
}

async function givenFlow(service: TestService) {
  return (await service.client(FlowService).createFlow({ definition: definition() })).flow!;
}

async function givenKey(service: TestService) {
  const key = { name: "key", kind: Kind.WORKER, role: Role.WORKER, requestId: randomUUID() };
  return (await service.client(ApiKeyService).createApiKey(key)).apiKey!;
}

const mutations: Record<string, Prepare> = {
  async CreateTaskExecution(service) {
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
    const report = { flowExecutionId, taskName: "task", status: Status.COMPLETED, output: text("done") };
    return () => service.client(TaskExecutionService).createTaskExecution(report);
  },
  async BatchCreateTaskExecutions(service) {
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
    const requests = [0, 1, 2].map((taskExecutionIdx) => ({
      flowExecutionId,
      taskName: "task",
      taskExecutionIdx,
      status: Status.RUNNING,
    }));
    return () => service.client(TaskExecutionService).batchCreateTaskExecutions({ requests });
  },
  async IngestTaskExecutions(service) {
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
    const request = { flowExecutionId, taskName: "task", status: Status.RUNNING };
    return () => ingestAll(service.client(TaskExecutionService), [request]);
  },
  async UpdateTaskExecution(service) {
    const { id, etag } = await givenRecord(service, Status.COMPLETED);
    const change = { id, etag, updateMask: { paths: ["output"] }, output: text("better") };
    return () => service.client(TaskExecutionService).updateTaskExecution(change);
  },
  async CancelTaskExecution(service) {
    const { id, etag } = await givenRecord(service, Status.RUNNING);
    return () => service.client(TaskExecutionService).cancelTaskExecution({ id, etag });
  },
  async DeleteTaskExecution(service) {
    const { id, etag } = await givenRecord(service);
    return () => service.client(TaskExecutionService).deleteTaskExecution({ id, etag });
  },
  async UndeleteTaskExecution(service) {
    const { id } = await givenRecord(service);
    const { taskExecution } = await service.client(TaskExecutionService).deleteTaskExecution({ id });
    const { etag } = taskExecution!;
    return () => service.client(TaskExecutionService).undeleteTaskExecution({ id, etag });
  },
  async UpdateTaskTags(service) {
    const { id } = await givenRecord(service);
    const operations = [{ action: Action.ADD, id, tag: "a:b", metadata: { by: "me" } }];
    return () => service.client(TaskExecutionService).updateTaskTags({ operations });
  },
  async AdoptLateResult(service) {
    const { claimed } = await givenClaim(service);
    const { id } = claimed.taskExecution!;
    const late = {
      id,
      token: claimed.token,
      result: { case: "completed", value: { output: text("late") } },
    } as const;
    await asSuperuser(
      database.superuserUrl,
      "update task_lease set expire_time = now() - interval '1 hour' where task_execution_id = $1",
      [id],
    );
    await eventually(async () => {
      const { taskExecution } = await service
        .client(TaskExecutionService)
        .getTaskExecution({ lookup: { case: "id", value: id } });
      return taskExecution!.status === Status.FAILED;
    });
    await service.client(WorkerService).reportTaskExecutions({ reports: [late] });
    return () => service.client(TaskExecutionService).adoptLateResult({ id });
  },
  async ReExecuteFlowExecution(service) {
    const { claimed } = await givenClaim(service);
    const { id, flowExecutionId } = claimed.taskExecution!;
    await service.client(WorkerService).reportTaskExecutions({
      reports: [{ id, token: claimed.token, result: { case: "completed", value: {} } }],
    });
    const request = { id: flowExecutionId, scope: Scope.ALL, requestId: randomUUID() };
    return () => service.client(FlowExecutionService).reExecuteFlowExecution(request);
  },
  async ClaimTaskExecutions(service) {
    const request = await givenQueued(service);
    return () => service.client(WorkerService).claimTaskExecutions(request);
  },
  async HeartbeatTaskExecutions(service) {
    const { claimed } = await givenClaim(service);
    const { id } = claimed.taskExecution!;
    const heartbeats = [{ id, token: claimed.token, progress: { fraction: 0.5 } }];
    return () => service.client(WorkerService).heartbeatTaskExecutions({ heartbeats });
  },
  async ReportTaskExecutions(service) {
    const { claimed, request } = await givenClaim(service);
    const { id } = claimed.taskExecution!;
    const reports = [{ id, token: claimed.token, result: { case: "completed", value: {} } }] as const;
    return () =>
      service.client(WorkerService).reportTaskExecutions({
        reports: [...reports],
        claim: { ...request, requestId: `${request.requestId}-next` },
      });
  },
  async CreateFlow(service) {
    const request = { definition: definition() };
    return () => service.client(FlowService).createFlow(request);
  },
  async UpdateFlow(service) {
    const { id, etag, definition } = await givenFlow(service);
    const request = { id, etag, definition: definition.replace('"1"', '"2"') };
    return () => service.client(FlowService).updateFlow(request);
  },
  async DeleteFlow(service) {
    const { id, etag } = await givenFlow(service);
    return () => service.client(FlowService).deleteFlow({ id, etag });
  },
  async CreateFlowExecution(service) {
    const request = await newRun(service);
    return () => service.client(FlowExecutionService).createFlowExecution(request);
  },
  async CancelFlowExecution(service) {
    const { id, etag } = await givenFlowExecution(service);
    return () => service.client(FlowExecutionService).cancelFlowExecution({ id, etag });
  },
  async DeleteFlowExecution(service) {
    const { id, etag } = await givenEndedRun(service);
    return () => service.client(FlowExecutionService).deleteFlowExecution({ id, etag });
  },
  async UndeleteFlowExecution(service) {
    const { id } = await givenEndedRun(service);
    const { flowExecution } = await service.client(FlowExecutionService).deleteFlowExecution({ id });
    const { etag } = flowExecution!;
    return () => service.client(FlowExecutionService).undeleteFlowExecution({ id, etag });
  },
  async CreateOrganization(service) {
    const request = { name: randomUUID(), requestId: randomUUID() };
    return () => service.client(OrganizationService).createOrganization(request);
  },
  async CreateApiKey(service) {
    const request = { name: "key", kind: Kind.WORKER, role: Role.WORKER, requestId: randomUUID() };
    return () => service.client(ApiKeyService).createApiKey(request);
  },
  async RotateApiKey(service) {
    const { id } = await givenKey(service);
    const requestId = randomUUID();
    return () => service.client(ApiKeyService).rotateApiKey({ id, requestId });
  },
  async RevokeApiKey(service) {
    const { id } = await givenKey(service);
    return () => service.client(ApiKeyService).revokeApiKey({ id });
  },
};

/** Makes a managed run with a task that is queued, and returns how to claim it. */
async function givenQueued(service: TestService) {
  const executor = randomUUID();
  const { flow } = await service
    .client(FlowService)
    .createFlow({ definition: `name: ${executor}\ntasks: [{name: task, executor: ${executor}, lease: 1h}]` });
  const run = { flowId: flow!.id, requestId: randomUUID(), dispatch: Dispatch.MANAGED };
  await service.client(FlowExecutionService).createFlowExecution(run);
  return { executors: [executor], maxTaskExecutions: 1, workerId: "worker", requestId: randomUUID() };
}

async function givenClaim(service: TestService) {
  const request = await givenQueued(service);
  const { claimed } = await service.client(WorkerService).claimTaskExecutions(request);
  return { claimed: claimed[0]!, request };
}

async function eventually(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await delay(50);
}

async function newRun(service: TestService) {
  const { id: flowId } = await givenFlow(service);
  return { flowId, requestId: randomUUID(), dispatch: Dispatch.EXTERNAL };
}

async function givenFlowExecution(service: TestService) {
  const { flowExecution } = await service
    .client(FlowExecutionService)
    .createFlowExecution(await newRun(service));
  return flowExecution!;
}

async function givenEndedRun(service: TestService) {
  const { id } = await givenFlowExecution(service);
  return (await service.client(FlowExecutionService).cancelFlowExecution({ id })).flowExecution!;
}

test("every method that changes something is tested", () => {
  const changing = services.flatMap(({ methods }) => methods.filter(({ idempotency }) => idempotency !== 1));
  expect(Object.keys(mutations).sort()).toEqual(changing.map(({ name }) => name).sort());
});

describe.each(Object.entries(mutations))("%s", (_name, prepare) => {
  // The database has stored the change, and nobody hears of it. The caller cannot know, and asks again.
  test("has its effect once when the answer to its commit is lost and it is repeated", async () => {
    const reference = await changesOf(await prepare(service));
    expect(reference).not.toEqual({});
    const call = await prepare(service);
    const rule = inject("lose-after", commit);
    const first = await changesOf(async () => expect(await outcomeOf(call())).toBe("DATABASE_UNAVAILABLE"));
    expect(rule.hits).toBe(1);
    expect(first).toEqual(reference);
    expect(await changesOf(async () => expect(await outcomeOf(call())).toBe("ok"))).toEqual({});
  });

  test("has no effect when the connection is lost before its commit, and its effect when it is repeated", async () => {
    const reference = await changesOf(await prepare(service));
    const call = await prepare(service);
    inject("lose-before", commit);
    const first = await changesOf(async () => expect(await outcomeOf(call())).toBe("DATABASE_UNAVAILABLE"));
    expect(first).toEqual({});
    expect(await changesOf(async () => expect(await outcomeOf(call())).toBe("ok"))).toEqual(reference);
  });

  test.each(["40001", "40P01"])("is run again when %s stops it twice", async (sqlState) => {
    const reference = await changesOf(await prepare(service));
    const call = await prepare(service);
    const rule = inject({ sqlState }, commit, 2);
    expect(await changesOf(call)).toEqual(reference);
    expect(rule.hits).toBe(2);
  });
});

describe("a broken statement", () => {
  test.each([
    ["40001", "CONTENTION", Code.Aborted],
    ["53100", "STORAGE_FULL", Code.ResourceExhausted],
    ["53300", "POOL_EXHAUSTED", Code.ResourceExhausted],
    ["57P01", "DATABASE_UNAVAILABLE", Code.Unavailable],
    ["25006", "DATABASE_UNAVAILABLE", Code.Unavailable],
    ["55P03", "CONTENTION", Code.Aborted],
  ])("with %s is told as %s", async (sqlState, reason, code) => {
    const call = (await mutations["CreateTaskExecution"]!(service)) as () => Promise<unknown>;
    inject({ sqlState }, /insert into task_execution/i, 100);
    const error = ConnectError.from(await call().catch((thrown) => thrown));
    expect(await outcomeOf(Promise.reject(error))).toBe(reason);
    expect(error.code).toBe(code);
    proxy.reset();
    expect(await outcomeOf(call())).toBe("ok");
  });

  // The rollback of a failed transaction fails too. Its connection must not serve anybody else: it would still be
  // inside the other's transaction, with the other's organization.
  test("whose rollback fails too leaves nothing to the next borrower of its connection", async () => {
    await using alone = await startTestService(proxy.url, { DATABASE_POOL: "1" });
    const call = (await mutations["CreateTaskExecution"]!(alone)) as () => Promise<unknown>;
    await alone.client(OrganizationService).getOrganization({});
    inject({ sqlState: "53100" }, /insert into task_execution/i);
    inject({ sqlState: "57014" }, /^rollback$/i);
    expect(await outcomeOf(call())).toBe("STORAGE_FULL");
    const stuck = await asSuperuser(
      database.superuserUrl,
      "select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'",
    );
    expect(stuck).toEqual([]);
    // The pool has one connection: this borrower would get the other's.
    expect(await changesOf(async () => expect(await outcomeOf(call())).toBe("ok"))).toMatchObject({
      task_execution: 1,
    });
  });
});

// After a failover the connections still lead to the server that was written to before, which only reads now.
test.each<[string, (service: TestService) => Promise<unknown>, RegExp]>([
  [
    "a claim",
    async (alone) => alone.client(WorkerService).claimTaskExecutions(await givenQueued(service)),
    /insert into task_lease/i,
  ],
  [
    "a heartbeat",
    async (alone) => {
      const { claimed } = await givenClaim(service);
      const heartbeats = [{ id: claimed.taskExecution!.id, token: claimed.token }];
      return alone.client(WorkerService).heartbeatTaskExecutions({ heartbeats });
    },
    /update task_lease/i,
  ],
])("a connection to a database that only reads serves %s no more", async (_what, call, statement) => {
  await using alone = await startTestService(proxy.url, { DATABASE_POOL: "1", LOG_LEVEL: "silent" });
  await alone.client(OrganizationService).getOrganization({});
  const before = await backends();
  const rule = inject({ sqlState: "25006" }, statement);
  expect(await outcomeOf(call(alone))).toBe("DATABASE_UNAVAILABLE");
  expect(rule.hits).toBe(1);
  expect(await outcomeOf(call(alone))).toBe("ok");
  const after = await backends();
  // One of those of this service, or of the other one that prepares the call, has gone.
  expect(before.filter((pid) => !after.includes(pid))).toHaveLength(1);
});

/** Returns the process ids of the pooled connections. */
async function backends(): Promise<number[]> {
  const rows = await asSuperuser<{ pid: number }>(
    database.superuserUrl,
    "select pid from pg_stat_activity where datname = current_database() and application_name = 'taskledger' order by pid",
  );
  return rows.map(({ pid }) => pid);
}

describe("a lock that somebody holds", () => {
  async function holdingRun<T>(flowExecutionId: string, run: () => Promise<T>): Promise<T> {
    const holder = new DatabaseClient({ connectionString: database.superuserUrl });
    await holder.connect();
    try {
      await holder.query("begin");
      await holder.query("select from flow_execution where id = $1 for update", [flowExecutionId]);
      return await run();
    } finally {
      await holder.end();
    }
  }

  // Two hundred workers report to a run whose row is locked: as one transaction, or each with its own through five
  // connections.
  test.each([
    ["one transaction", "500", "CONTENTION"],
    ["a transaction each", "0", "POOL_EXHAUSTED"],
  ])(
    "keeps two hundred calls in %s waiting for a bounded time, and health answers meanwhile",
    async (_how, records, usual) => {
      await using service = await startTestService(proxy.url, {
        DATABASE_POOL: "5",
        LIMIT_BATCH_RECORDS: records,
      });
      const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
      // One connection takes a hundred calls at a time; the rest would wait in the client.
      const tasks = [0, 1, 2].map(() => serviceAt(service.port).client(TaskExecutionService));
      const health = serviceAt(service.port).client(Health);
      const create = async (taskExecutionIdx: number) => {
        const start = performance.now();
        const report = { flowExecutionId, taskName: "task", taskExecutionIdx, status: Status.RUNNING };
        const outcome = await outcomeOf(tasks[taskExecutionIdx % 3]!.createTaskExecution(report));
        return { outcome, took: performance.now() - start };
      };
      const healthTook: number[] = [];
      const answers = await holdingRun(flowExecutionId, async () => {
        const calls = Promise.all(Array.from({ length: 200 }, (_, index) => create(index)));
        let done = false;
        calls.finally(() => {
          done = true;
        });
        while (!done) {
          const start = performance.now();
          await health.check({});
          healthTook.push(performance.now() - start);
          await delay(20);
        }
        return calls;
      });
      // A wait for a connection, then a wait for the lock, each of two seconds.
      expect(Math.max(...answers.map(({ took }) => took))).toBeLessThan(5500);
      for (const { outcome } of answers) {
        expect(outcome).toMatch(/^(ok|POOL_EXHAUSTED|CONTENTION)$/);
      }
      expect(answers.filter(({ outcome }) => outcome === usual).length).toBeGreaterThan(150);
      // The first check finds the machine busy with two hundred new calls.
      healthTook.sort((a, b) => a - b);
      expect(healthTook[Math.floor(healthTook.length * 0.95)]!).toBeLessThan(100);
      expect(await create(1000)).toMatchObject({ outcome: "ok" });
    },
  );

  test("does not keep a statement in the database after the deadline of its call", async () => {
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
    const waiting = () =>
      asSuperuser(
        database.superuserUrl,
        "select query from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      );
    await holdingRun(flowExecutionId, async () => {
      const report = { flowExecutionId, taskName: "task", status: Status.RUNNING };
      const start = performance.now();
      const call = outcomeOf(
        service.client(TaskExecutionService).createTaskExecution(report, { timeoutMs: 300 }),
      );
      await expect.poll(waiting, { interval: 10, timeout: 250 }).toHaveLength(1);
      expect(await call).toMatch(/DEADLINE_EXCEEDED|DeadlineExceeded/);
      await expect.poll(waiting, { interval: 10, timeout: 1000 }).toEqual([]);
      // Up to 100 ms after the deadline, and some for the look itself.
      expect(performance.now() - start).toBeLessThan(300 + 100 + 50);
    });
  });
});

// The database ends all sessions at once, as it does when one of its processes crashes.
test("the service outlives the end of all its sessions and serves again within three seconds", async () => {
  const call = (await mutations["CreateTaskExecution"]!(service)) as () => Promise<unknown>;
  await Promise.all(Array.from({ length: 5 }, call));
  const ended = await asSuperuser(
    database.superuserUrl,
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name like 'taskledger%'`,
  );
  expect(ended.length).toBeGreaterThan(1);
  const start = performance.now();
  await expect.poll(() => outcomeOf(call()), { interval: 20, timeout: 3000 }).toBe("ok");
  await expect
    .poll(async () => (await fetch(`${service.origin}/readyz`)).status, { interval: 20, timeout: 3000 })
    .toBe(200);
  expect(performance.now() - start).toBeLessThan(3000);
});
