import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type FlowExecution,
  FlowExecution_Status as Status,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  type FlowExecutionChange,
  FlowExecutionService,
  type WatchFlowExecutionsResponse,
} from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { TaskExecution_Status as TaskStatus } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { WatchRemoval } from "../../gen/taskledger/v1/watch_pb.ts";
import { callerFrom, clientOf, outcomeOf } from "../client.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { listen } from "./watcher.ts";

describe("a watch of runs", () => {
  let database: TestDatabase;
  let organizationId: string;
  let theirs: string;
  beforeAll(async () => {
    database = await openDatabase();
    organizationId = await givenOrganization(database.orm);
    theirs = await givenOrganization(database.orm);
  });
  afterAll(() => database.close());

  const runs = () => clientOf(FlowExecutionService, database, callerFrom(organizationId));
  const watchRuns = (request: Parameters<ReturnType<typeof runs>["watchFlowExecutions"]>[0]) => {
    const client = runs();
    return listen((options) => client.watchFlowExecutions(request, options));
  };
  const changesOf = (heard: readonly WatchFlowExecutionsResponse[]): FlowExecutionChange[] =>
    heard.flatMap(({ content }) =>
      content.case === "snapshot" || content.case === "changes" ? content.value.flowExecutions : [],
    );

  async function startRun(organization = organizationId) {
    const run = await givenRun(database.orm, organization, ["a", "b"]);
    const tasks = clientOf(TaskExecutionService, database, callerFrom(organization));
    const report = (taskName: string, status: TaskStatus) =>
      tasks.createTaskExecution({ flowExecutionId: run.flowExecutionId, taskName, status });
    return { ...run, report };
  }

  test("tells how far their tasks are, and ends with the one that is watched", async () => {
    const { flowExecutionId, report } = await startRun();
    await using watcher = watchRuns({ id: flowExecutionId });
    await watcher.untilCase("synced");
    for (const [task, status] of [
      ["a", TaskStatus.RUNNING],
      ["a", TaskStatus.COMPLETED],
      ["b", TaskStatus.COMPLETED],
    ] as const) {
      await report(task, status);
    }
    const end = await watcher.untilCase("end");
    expect(await watcher.next()).toBeUndefined();
    const told = changesOf(watcher.heard).map(({ change }) => change.value as FlowExecution);
    expect(told[0]).toMatchObject({ status: Status.QUEUED, revision: 0n, progress: { total: 2, queued: 0 } });
    const last = { status: Status.COMPLETED, revision: 3n, progress: { total: 2, completed: 2 } };
    expect(told.at(-1)).toMatchObject(last);
    expect(end.content.value).toMatchObject({ flowExecution: last });
  });

  test("with a status says what leaves it, though a task was what changed", async () => {
    const { flowId, flowExecutionId, report } = await startRun();
    await using watcher = watchRuns({ flowId, statuses: [Status.RUNNING] });
    await watcher.untilCase("synced");
    await report("a", TaskStatus.RUNNING);
    const running = await watcher.untilCase("changes");
    expect(changesOf([running])[0]!.change.value).toMatchObject({
      id: flowExecutionId,
      status: Status.RUNNING,
    });
    await report("a", TaskStatus.FAILED);
    const gone = await watcher.untilCase("changes");
    expect(changesOf([gone])).toMatchObject([
      {
        change: { case: "removed", value: { id: flowExecutionId, reason: WatchRemoval.LEFT_FILTER } },
        revision: 2n,
      },
    ]);
  });

  test("tells of new ones, of those that are deleted and those that come back", async () => {
    const bystander = await startRun(theirs);
    await using watcher = watchRuns({ changesOnly: true });
    await watcher.untilCase("synced");
    const { flowId, flowExecutionId } = await startRun();
    await bystander.report("a", TaskStatus.QUEUED);
    const { flowExecution } = await runs().createFlowExecution({
      flowId,
      requestId: randomUUID(),
      dispatch: 1,
    });
    const created = await watcher.untilCase("changes");
    expect(changesOf([created]).map(({ change }) => change.value?.id)).toEqual([flowExecution!.id]);
    await runs().deleteFlowExecution({ id: flowExecutionId });
    const deleted = await watcher.untilCase("changes");
    expect(changesOf([deleted])[0]!.change).toMatchObject({
      case: "removed",
      value: { id: flowExecutionId, reason: WatchRemoval.DELETED },
    });
    await runs().undeleteFlowExecution({ id: flowExecutionId });
    const back = await watcher.untilCase("changes");
    expect(changesOf([back])[0]!.change).toMatchObject({
      case: "flowExecution",
      value: { id: flowExecutionId },
    });
  });

  test("is resumed where it was broken off, and lists the newest first", async () => {
    const first = await startRun();
    const flowId = first.flowId;
    for (const requestId of ["x", "y"]) await runs().createFlowExecution({ flowId, requestId, dispatch: 1 });
    const watcher = watchRuns({ flowId });
    await watcher.untilCase("synced");
    watcher.close();
    const numbers = changesOf(watcher.heard).map(({ change }) => (change.value as FlowExecution).runNumber);
    expect(numbers).toHaveLength(3);
    await first.report("a", TaskStatus.QUEUED);
    await first.report("a", TaskStatus.RUNNING);
    await using again = watchRuns({ flowId, resumeToken: watcher.token() });
    await again.untilCase("synced");
    expect(changesOf(again.heard)).toMatchObject([
      { revision: 2n, change: { value: { id: first.flowExecutionId, status: Status.RUNNING } } },
    ]);
    expect(await outcomeOf(watchRuns({ resumeToken: watcher.token() }).next())).toBe("RESUME_TOKEN_INVALID");
  });
});
