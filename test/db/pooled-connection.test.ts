import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { MikroORM } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { Client as DatabaseClient } from "pg";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { createApp } from "../../src/app.ts";
import { defaultDatabaseLimits, openOrm } from "../../src/db/orm.ts";
import { createAdapter } from "../../src/server/adapter.ts";
import { defaultLimits } from "../../src/server/limits.ts";
import { createListener } from "../../src/server/listener.ts";
import { createReadiness } from "../../src/server/readiness.ts";
import { callerFrom, outcomeOf } from "../client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { signIn } from "../service.ts";
import { type DatabaseProxy, type Fault, startDatabaseProxy } from "./proxy.ts";

/** What the next borrower of the connection would find there. */
interface Left {
  readonly organization: string | null;
  readonly timeout: string;
  readonly pid: number;
}

// Organization A's call goes wrong; organization B's gets the same connection, since there is only one.
describe("the one connection of a pool", () => {
  let database: TestDatabase;
  let proxy: DatabaseProxy;
  let orm: MikroORM;
  let stop: () => Promise<void>;
  let port: number;
  let ours: string;
  let theirs: string;
  let theirRecord: string;
  let run: string;

  beforeAll(async () => {
    database = await openDatabase();
    // A constraint that only the database knows, so that it is broken inside of the transaction.
    await asSuperuser(
      database.superuserUrl,
      "alter table task_execution add constraint no_13 check (task_execution_idx <> 13)",
    );
    proxy = await startDatabaseProxy(database.serviceUrl);
    // A lock is waited for longer than a statement may take, so that it is the statement that ends.
    const limits = { ...defaultDatabaseLimits, pool: 1, lockTimeoutMs: 10_000, acquireTimeoutMs: 8000 };
    const log = pino({ level: "silent" });
    orm = await openOrm(proxy.url, limits, log);
    const readiness = createReadiness({ probe: async () => {} });
    // The secret is the id of the organization: no key is looked up on the connection under test.
    const app = createApp({ orm, authenticate: async (secret) => callerFrom(secret), log, readiness });
    const adapter = createAdapter({ ...app, limits: defaultLimits, logger: log, readiness, corsOrigins: [] });
    const listener = createListener({ adapter, limits: defaultLimits, readiness, tls: undefined });
    ({ port } = await listener.listen(0, "127.0.0.1"));
    stop = () => listener.drain({ graceMs: 0, settleMs: 0 }).then(readiness.close);
    ours = await givenOrganization(database.orm);
    theirs = await givenOrganization(database.orm);
    const { flowExecutionId } = await givenRun(database.orm, theirs, ["task"]);
    theirRecord = (await tasksOf(theirs).createTaskExecution(reportOf(flowExecutionId))).taskExecution!.id;
  });
  beforeEach(async () => {
    proxy.reset();
    run = (await givenRun(database.orm, ours, ["task"])).flowExecutionId;
    await tasksOf(ours).createTaskExecution(reportOf(run, 1000));
  });
  afterAll(async () => {
    await stop?.();
    await orm?.close(true);
    await proxy?.[Symbol.asyncDispose]();
    await database?.close();
  });

  const tasksOf = (organizationId: string) =>
    createClient(
      TaskExecutionService,
      createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}`, interceptors: [signIn(organizationId)] }),
    );
  const reportOf = (flowExecutionId: string, taskExecutionIdx = 0, status: Status = Status.RUNNING) => ({
    flowExecutionId,
    taskName: "task",
    taskExecutionIdx,
    status,
  });

  /** Reads on the pooled connection what it was given back with. */
  async function leftBehind(): Promise<Left> {
    const { rows } = await sql<Left>`
      select current_setting('app.organization_id', true) as organization,
        current_setting('statement_timeout') as timeout, pg_backend_pid() as pid
    `.execute(orm.em.fork().getKysely());
    return rows[0]!;
  }

  /** Expects that the next borrower finds nothing of ours; returns which connection it got. */
  async function expectClean(): Promise<number> {
    const { organization, timeout, pid } = await leftBehind();
    expect(["", null]).toContain(organization);
    expect(timeout).toBe("5s");
    await expectOnlyTheirs();
    return pid;
  }

  async function expectOnlyTheirs(): Promise<void> {
    const { taskExecutions } = await tasksOf(theirs).listTaskExecutions({ showDeleted: true });
    expect(taskExecutions.map(({ id }) => id)).toEqual([theirRecord]);
  }

  /** Holds the row of our run, so that our call waits inside of its transaction, until told to let go. */
  async function holdingRun<T>(use: (letGo: () => Promise<void>) => Promise<T>): Promise<T> {
    const holder = new DatabaseClient({ connectionString: database.superuserUrl });
    await holder.connect();
    try {
      await holder.query("begin");
      await holder.query("select from flow_execution where id = $1 for update", [run]);
      return await use(async () => void (await holder.query("rollback")));
    } finally {
      await holder.end();
    }
  }

  const waiting = () =>
    asSuperuser<{ pid: number }>(
      database.superuserUrl,
      "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
  const untilWaiting = () => expect.poll(waiting, { interval: 5, timeout: 3000 }).toHaveLength(1);

  test("is the same one and clean after a call that succeeds", async () => {
    const before = await expectClean();
    await tasksOf(ours).createTaskExecution(reportOf(run));
    expect(await expectClean()).toBe(before);
  });

  test.each<[string, () => object, string]>([
    ["an unknown task", () => ({ ...reportOf(run), taskName: "no such task" }), "TASK_NAME_UNKNOWN"],
    ["a step that is not allowed", () => reportOf(run, 1000, Status.QUEUED), "ILLEGAL_TRANSITION"],
    ["a run that does not exist", () => reportOf(randomUUID()), "NOT_FOUND"],
    ["a constraint that it breaks", () => reportOf(run, 13), "VALIDATION_FAILED"],
  ])("is clean after a call that is refused for %s", async (_name, report, reason) => {
    const before = await expectClean();
    expect(await outcomeOf(tasksOf(ours).createTaskExecution(report()))).toBe(reason);
    expect(await expectClean()).toBe(before);
  });

  test("is clean after a call whose deadline passes inside of its transaction", async () => {
    const before = await expectClean();
    await holdingRun(async () => {
      const call = tasksOf(ours).createTaskExecution(reportOf(run), { timeoutMs: 400 });
      const outcome = outcomeOf(call);
      await untilWaiting();
      // Theirs waits behind ours for the connection, and gets it as soon as it is free.
      await expectOnlyTheirs();
      expect(await outcome).toMatch(/DEADLINE_EXCEEDED|DeadlineExceeded/);
      expect(await expectClean()).toBe(before);
    });
  });

  test("is clean after a call that its client cancels inside of its transaction", async () => {
    const before = await expectClean();
    await holdingRun(async (letGo) => {
      const client = new AbortController();
      const call = tasksOf(ours).createTaskExecution(reportOf(run), { signal: client.signal });
      const code = call.catch((error) => ConnectError.from(error).code);
      await untilWaiting();
      const next = expectOnlyTheirs();
      client.abort();
      expect(await code).toBe(Code.Canceled);
      await letGo();
      await next;
      expect(await expectClean()).toBe(before);
    });
  });

  // What the server sees of a client that is killed, or whose machine was restarted.
  test("is clean after a call whose client's connection is reset inside of its transaction", async () => {
    const before = await expectClean();
    await holdingRun(async (letGo) => {
      const body = JSON.stringify({ ...reportOf(run), status: "STATUS_RUNNING" });
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      socket.write(
        `POST /taskledger.v1.TaskExecutionService/CreateTaskExecution HTTP/1.1\r\nhost: localhost\r\n` +
          `authorization: Bearer ${ours}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
      await untilWaiting();
      const next = expectOnlyTheirs();
      socket.resetAndDestroy();
      await once(socket, "close");
      await letGo();
      await next;
      expect(await expectClean()).toBe(before);
    });
  });

  // The call has time, its statement has not: five seconds, whatever the deadline.
  test("is clean after a statement that runs into statement_timeout", async () => {
    const before = await expectClean();
    await holdingRun(async () => {
      const start = performance.now();
      expect(await outcomeOf(tasksOf(ours).createTaskExecution(reportOf(run)))).toBe("DEADLINE_EXCEEDED");
      expect(performance.now() - start).toBeGreaterThan(4500);
      expect(await expectClean()).toBe(before);
    });
  });

  test("is another one and clean after its backend is terminated inside of our transaction", async () => {
    const before = await expectClean();
    await holdingRun(async () => {
      const outcome = outcomeOf(tasksOf(ours).createTaskExecution(reportOf(run)));
      await untilWaiting();
      const next = expectOnlyTheirs();
      await asSuperuser(database.superuserUrl, "select pg_terminate_backend($1)", [before]);
      expect(await outcome).toBe("DATABASE_UNAVAILABLE");
      await next;
      expect(await expectClean()).not.toBe(before);
    });
  });

  // From begin to commit: each statement of a call goes wrong once, in each way.
  test.each<[string, Fault]>([
    ["fails with an error of ours", { sqlState: "23514" }],
    ["is cancelled", { sqlState: "57014" }],
    ["loses its connection before it is run", "lose-before"],
    ["loses its connection after it is run", "lose-after"],
  ])("is clean after a call of which any one statement %s", async (_name, fault) => {
    let statements = 0;
    for (let index = 1; ; index++) {
      const rule = proxy.inject(fault, new Nth(index));
      const outcome = await outcomeOf(tasksOf(ours).createTaskExecution(reportOf(run, index)));
      proxy.reset();
      if (rule.hits === 0) {
        expect(outcome).toBe("ok");
        break;
      }
      expect(outcome, `statement ${index}`).not.toBe("ok");
      statements++;
      await expectClean();
    }
    // Begin, the organization, the lock, the look-up, three writes and the commit at least.
    expect(statements).toBeGreaterThan(7);
  });
});

/** Matches the statement with a number, counted from when it was made. */
class Nth extends RegExp {
  #left: number;

  constructor(n: number) {
    super("");
    this.#left = n;
  }

  override test(text: string): boolean {
    return text !== "" && --this.#left === 0;
  }
}
