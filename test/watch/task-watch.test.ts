import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  type TaskExecutionChange,
  TaskExecutionService,
  type WatchTaskExecutionsResponse,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { callerFrom, clientOf } from "../client.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { describeChanges, listen } from "./watcher.ts";

describe("a watch of task executions", () => {
  let database: TestDatabase;
  let organizationId: string;
  beforeAll(async () => {
    database = await openDatabase();
    organizationId = await givenOrganization(database.orm);
  });
  afterAll(() => database.close());

  const client = () => clientOf(TaskExecutionService, database, callerFrom(organizationId));

  test("tells what there is, then what changes, then that the run has ended", async () => {
    const tasks = client();
    const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a", "b"]);
    const report = (taskName: string, status: Status) =>
      tasks.createTaskExecution({ flowExecutionId, taskName, status });
    await report("a", Status.QUEUED);
    await using watcher = listen((options) => tasks.watchTaskExecutions({ flowExecutionId }, options));
    await watcher.untilCase("synced");
    expect(watcher.heard.map(({ content }) => content.case)).toEqual(["snapshot", "synced"]);
    expect(describeChanges(changesOf(watcher.heard))).toEqual(["a/0 1"]);

    await report("a", Status.RUNNING);
    const changed = await watcher.untilCase("changes");
    expect(describeChanges(changesOf([changed]))).toEqual(["a/0 2"]);
    await report("b", Status.RUNNING);
    await report("a", Status.COMPLETED);
    await report("b", Status.COMPLETED);
    await watcher.untilCase("end");
    expect(await watcher.next()).toBeUndefined();
  });
});

function changesOf(heard: readonly WatchTaskExecutionsResponse[]): TaskExecutionChange[] {
  return heard.flatMap(({ content }) =>
    content.case === "snapshot" || content.case === "changes" ? content.value.taskExecutions : [],
  );
}
