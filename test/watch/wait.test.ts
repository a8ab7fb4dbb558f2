import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FlowExecution_Status as FlowStatus } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { callerFrom, outcomeOf } from "../client.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { startWatchServer, type WatchServer } from "./watch-server.ts";

describe("a wait", () => {
  let database: TestDatabase;
  let server: WatchServer;
  let organizationId: string;
  beforeAll(async () => {
    database = await openDatabase();
    organizationId = await givenOrganization(database.orm);
    server = await startWatchServer(database.orm, { authenticate: async () => callerFrom(organizationId) });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await database?.close();
  });
  const tasks = () => server.client(TaskExecutionService);
  const runs = () => server.client(FlowExecutionService);

  async function givenRunning() {
    const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
    const report = { flowExecutionId, taskName: "a" };
    const { taskExecution } = await tasks().createTaskExecution({ ...report, status: Status.RUNNING });
    return { report, id: taskExecution!.id, flowExecutionId };
  }

  test("is answered when the task and the run end, with their payloads", async () => {
    const { report, id, flowExecutionId } = await givenRunning();
    const waits = Promise.all([
      tasks().waitTaskExecution({ id }),
      runs().waitFlowExecution({ id: flowExecutionId }),
    ]);
    await expect.poll(() => server.feeds.figures.streams).toBe(2);
    const output = { kind: { case: "numberValue" as const, value: 7 } };
    await tasks().createTaskExecution({ ...report, status: Status.COMPLETED, output });
    const [task, run] = await waits;
    expect(task).toMatchObject({ ended: true, taskExecution: { id, status: Status.COMPLETED, output } });
    expect(run).toMatchObject({ ended: true, flowExecution: { status: FlowStatus.COMPLETED } });
    await expect.poll(() => server.feeds.figures.streams).toBe(0);
  });

  test("is answered at once if it has ended already, or is deleted", async () => {
    const { report, id, flowExecutionId } = await givenRunning();
    await runs().deleteFlowExecution({ id: flowExecutionId });
    expect(await runs().waitFlowExecution({ id: flowExecutionId })).toMatchObject({ ended: true });
    await runs().undeleteFlowExecution({ id: flowExecutionId });
    await tasks().createTaskExecution({ ...report, status: Status.FAILED });
    expect(await tasks().waitTaskExecution({ id })).toMatchObject({ ended: true });
  });

  test("is answered with what is there when its time is over, or just before its deadline", async () => {
    const { id, flowExecutionId } = await givenRunning();
    const running = { ended: false, taskExecution: { status: Status.RUNNING } };
    expect(await tasks().waitTaskExecution({ id, wait: { nanos: 1e8 } })).toMatchObject(running);
    expect(await tasks().waitTaskExecution({ id, wait: {} })).toMatchObject(running);
    expect(await tasks().waitTaskExecution({ id }, { timeoutMs: 1500 })).toMatchObject(running);
    expect(await runs().waitFlowExecution({ id: flowExecutionId, wait: {} })).toMatchObject({ ended: false });
  });

  test("for something that is not there, or longer than a minute, is refused", async () => {
    expect(await outcomeOf(tasks().waitTaskExecution({ id: randomUUID() }))).toBe("NOT_FOUND");
    expect(await outcomeOf(runs().waitFlowExecution({ id: randomUUID() }))).toBe("NOT_FOUND");
    const wait = { seconds: 61n };
    expect(await outcomeOf(tasks().waitTaskExecution({ id: randomUUID(), wait }))).toBe("VALIDATION_FAILED");
  });
});
