import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FlowExecutionService } from "../gen/taskledger/v1/flow_execution_service_pb.ts";
import { defaultOrganizationId } from "../src/organization/bootstrap.ts";
import { outcomeOf } from "./client.ts";
import { openDatabase, type TestDatabase } from "./database.ts";
import { givenRun } from "./runs.ts";
import { bootstrapKey, startTestService } from "./service.ts";

// That the environment reaches what it limits. What each limit does is tested where it stands.

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database?.close());

const post = (origin: string, method: string, body: object) =>
  fetch(`${origin}/taskledger.v1.${method}`, {
    method: "POST",
    headers: { authorization: `Bearer ${bootstrapKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });

describe("a limit from the environment", () => {
  test("holds for the size of requests", async () => {
    await using service = await startTestService(database.serviceUrl, { LIMIT_READ_MAX_BYTES: "65536" });
    const answer = await post(service.origin, "FlowService/ValidateFlow", { definition: "#".repeat(70_000) });
    expect(await answer.json()).toMatchObject({ code: "resource_exhausted" });
  });

  test("holds for calls in flight and for how long a call may wait", async () => {
    const env = { LIMIT_MAX_STREAMS_IN_FLIGHT: "1", LIMIT_WAITING_TIMEOUT_MS: "1000" };
    await using service = await startTestService(database.serviceUrl, env);
    const begin = performance.now();
    const claim = (requestId: string) =>
      post(service.origin, "WorkerService/ClaimTaskExecutions", {
        executors: ["none"],
        maxTaskExecutions: 1,
        wait: "60s",
        workerId: "w",
        requestId,
      });
    const both = await Promise.all([claim("first"), claim("second")]);
    // One waits until its time is over, the other is refused at once.
    expect(performance.now() - begin).toBeLessThan(20_000);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 429]);
  });

  test("holds for connections and locks of the database", async () => {
    const env = {
      DATABASE_POOL: "2",
      DATABASE_ACQUIRE_TIMEOUT_MS: "200",
      DATABASE_LOCK_TIMEOUT_MS: "1500",
    };
    await using service = await startTestService(database.serviceUrl, env);
    const { flowExecutionId: id } = await givenRun(database.orm, defaultOrganizationId, ["a"]);
    const runs = service.client(FlowExecutionService);
    await using blocker = await holdRun(id);
    const cancel = () => outcomeOf(runs.cancelFlowExecution({ id, reason: "stop" }));
    expect((await Promise.all([cancel(), cancel(), cancel()])).sort()).toEqual([
      "CONTENTION",
      "CONTENTION",
      "POOL_EXHAUSTED",
    ]);
    await blocker.release();
    expect(await cancel()).toBe("ok");
  });
});

/** Holds the lock of a run. */
async function holdRun(id: string): Promise<AsyncDisposable & { release(): Promise<void> }> {
  const client = new Client({ connectionString: database.superuserUrl });
  await client.connect();
  await client.query("begin");
  await client.query("select 1 from flow_execution where id = $1 for update", [id]);
  const release = () => client.query("rollback").then(() => {});
  return { release, [Symbol.asyncDispose]: () => client.end() };
}
