import { randomUUID } from "node:crypto";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { TaskExecutionEvent_Type as Type } from "../../gen/taskledger/v1/task_execution_event_pb.ts";
import {
  TaskExecution_Status as Status,
  type TaskExecution,
} from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  type TaskExecutionChange,
  TaskExecutionService,
  type WatchTaskExecutionsResponse,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { View } from "../../gen/taskledger/v1/view_pb.ts";
import { WatchResync_Reason as ResyncReason, WatchRemoval } from "../../gen/taskledger/v1/watch_pb.ts";
import { callerFrom, clientOf, outcomeOf } from "../client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { describeChanges, listen, type Watcher } from "./watcher.ts";

type Request = Parameters<ReturnType<typeof clientOf<typeof TaskExecutionService>>["watchTaskExecutions"]>[0];

let database: TestDatabase;
let organizationId: string;
beforeAll(async () => {
  database = await openDatabase();
  organizationId = await givenOrganization(database.orm);
});
afterAll(() => database.close());

const tasksOf = (organization = organizationId, now?: () => Date) =>
  clientOf(TaskExecutionService, database, callerFrom(organization), now && { now });
const runs = () => clientOf(FlowExecutionService, database, callerFrom(organizationId));

function watchTasks(request: Request, tasks = tasksOf()): Watcher<WatchTaskExecutionsResponse> {
  return listen((options) => tasks.watchTaskExecutions(request, options));
}

/** Makes a run of two tasks and returns how to report them. */
async function startRun(tasks = ["a", "b"], organization = organizationId) {
  const run = await givenRun(database.orm, organization, tasks);
  const client = tasksOf(organization);
  const report = async (taskName: string, status: Status, more: object = {}): Promise<TaskExecution> => {
    const { flowExecutionId } = run;
    const { taskExecution } = await client.createTaskExecution({
      flowExecutionId,
      taskName,
      status,
      ...more,
    });
    return taskExecution!;
  };
  return { ...run, report };
}

function changesOf(heard: readonly WatchTaskExecutionsResponse[]): TaskExecutionChange[] {
  return heard.flatMap(({ content }) =>
    content.case === "snapshot" || content.case === "changes" ? content.value.taskExecutions : [],
  );
}

const cases = (watcher: Watcher<WatchTaskExecutionsResponse>) =>
  watcher.heard.map(({ content }) => content.case);

describe("a watch of one run", () => {
  test("tells what there is, then what changes, then that the run has ended, and ends", async () => {
    const { flowExecutionId, report } = await startRun();
    await report("a", Status.QUEUED);
    await using watcher = watchTasks({ flowExecutionId });
    await watcher.untilCase("synced");
    expect(cases(watcher)).toEqual(["snapshot", "synced"]);
    expect(describeChanges(changesOf(watcher.heard))).toEqual(["a/0 1"]);

    await report("a", Status.RUNNING);
    const changed = await watcher.untilCase("changes");
    expect(describeChanges(changesOf([changed]))).toEqual(["a/0 2"]);
    expect(changesOf([changed])[0]!.type).toBe(Type.START);
    await report("b", Status.RUNNING);
    await report("a", Status.COMPLETED);
    await report("b", Status.COMPLETED);
    const end = await watcher.untilCase("end");
    expect(end.content.value).toMatchObject({ flowExecution: { id: flowExecutionId, revision: 5n } });
    expect(await watcher.next()).toBeUndefined();
  });

  test("that has ended already tells what there is and ends, also when it is resumed at its end", async () => {
    const { flowExecutionId, report } = await startRun(["a"]);
    await report("a", Status.COMPLETED);
    await using watcher = watchTasks({ flowExecutionId });
    await watcher.untilCase("end");
    expect(cases(watcher)).toEqual(["snapshot", "synced", "end"]);
    await using again = watchTasks({ flowExecutionId, resumeToken: watcher.token() });
    await again.untilCase("end");
    expect(cases(again)).toEqual(["synced", "end"]);
  });

  test("is told what was missed when it is resumed, each record once and as it is", async () => {
    const { flowExecutionId, report } = await startRun();
    const watcher = watchTasks({ flowExecutionId });
    await watcher.untilCase("synced");
    watcher.close();
    await report("a", Status.QUEUED);
    await report("b", Status.QUEUED);
    await report("a", Status.RUNNING);
    await report("a", Status.FAILED);
    await using again = watchTasks({ flowExecutionId, resumeToken: watcher.token() });
    await again.untilCase("synced");
    expect(describeChanges(changesOf(again.heard))).toEqual(["b/0 2", "a/0 4"]);
  });

  test("goes on in the middle of what there is when it is broken off there", async () => {
    const { flowExecutionId } = await startRun(["a"]);
    const requests = Array.from({ length: 600 }, (_, taskExecutionIdx) => ({
      flowExecutionId,
      taskName: "a",
      taskExecutionIdx,
      status: Status.QUEUED,
    }));
    await tasksOf().batchCreateTaskExecutions({ requests });
    const first = watchTasks({ flowExecutionId });
    await first.untilCase("snapshot");
    first.close();
    // Changes what was told, and what was not.
    for (const taskExecutionIdx of [599, 0]) {
      const changed = { ...requests[taskExecutionIdx]!, status: Status.RUNNING };
      await tasksOf().createTaskExecution(changed);
    }
    await using second = watchTasks({ flowExecutionId, resumeToken: first.token() });
    await second.untilCase("synced");
    const told = [...changesOf(first.heard), ...changesOf(second.heard)];
    const indexes = told.map(({ change }) => (change.value as TaskExecution).taskExecutionIdx);
    expect(indexes.sort((a, b) => a - b)).toEqual([...Array(600).keys(), 599].sort((a, b) => a - b));
  });

  test("tells no state twice and leaves none out while what there is is told", async () => {
    const { flowExecutionId, report } = await startRun(["a"]);
    const write = async (from: number, to: number) => {
      for (let taskExecutionIdx = from; taskExecutionIdx < to; taskExecutionIdx++) {
        await report("a", Status.QUEUED, { taskExecutionIdx });
        if (taskExecutionIdx % 3 === 0) await report("a", Status.RUNNING, { taskExecutionIdx });
      }
    };
    await write(0, 30);
    const writing = write(30, 90);
    await using watcher = watchTasks({ flowExecutionId });
    await watcher.untilCase("synced");
    await writing;
    const state = new Map<string, string>();
    const seen = new Set<string>();
    const fold = (change: TaskExecutionChange) => {
      const [text] = describeChanges([change]);
      expect(seen.has(text!), text).toBe(false);
      seen.add(text!);
      const { value } = change.change as { value: TaskExecution };
      state.set(value.id, value.etag);
    };
    changesOf(watcher.heard).forEach(fold);
    const { taskExecutions } = await tasksOf().listTaskExecutions({ flowExecutionId, pageSize: 1000 });
    const table = taskExecutions.map(({ id, etag }) => `${id} ${etag}`).sort();
    const folded = () => [...state].map(([id, etag]) => `${id} ${etag}`).sort();
    while (folded().join() !== table.join()) {
      changesOf([await watcher.untilCase("changes")]).forEach(fold);
    }
    expect(table).toHaveLength(90);
  });

  test("ends when the run is deleted, and says that its records are gone", async () => {
    const { flowExecutionId, report } = await startRun();
    await report("a", Status.QUEUED);
    await using watcher = watchTasks({ flowExecutionId });
    await watcher.untilCase("synced");
    await runs().deleteFlowExecution({ id: flowExecutionId });
    await watcher.untilCase("end");
    const [removed] = changesOf(watcher.heard.slice(-2));
    expect(removed!.change).toMatchObject({
      case: "removed",
      value: { id: "", flowExecutionId, reason: WatchRemoval.FLOW_EXECUTION_DELETED },
    });
  });

  test("tells only what changes if that is asked for", async () => {
    const { flowExecutionId, report } = await startRun();
    await report("a", Status.QUEUED);
    await using watcher = watchTasks({ flowExecutionId, changesOnly: true });
    await watcher.untilCase("synced");
    await report("b", Status.QUEUED);
    await watcher.untilCase("changes");
    expect(describeChanges(changesOf(watcher.heard))).toEqual(["b/0 2"]);
  });
});

describe("a watch with a filter", () => {
  test("of a flow, a task and statuses tells only of those, and says what leaves them", async () => {
    const { flowId, report } = await startRun();
    const bystander = await startRun();
    await using watcher = watchTasks({ flowId, taskName: "a", statuses: [Status.RUNNING] });
    await watcher.untilCase("synced");
    await report("b", Status.RUNNING);
    await bystander.report("a", Status.RUNNING);
    const { id } = await report("a", Status.QUEUED);
    await report("a", Status.RUNNING);
    await watcher.untilCase("changes");
    await report("a", Status.COMPLETED);
    await watcher.untilCase("changes");
    expect(describeChanges(changesOf(watcher.heard))).toEqual(["a/0 3", `-${id} 4`]);
    expect(changesOf(watcher.heard).at(-1)!.change.value).toMatchObject({
      id,
      reason: WatchRemoval.LEFT_FILTER,
    });
  });

  test("says of a record that was deleted that it is gone, and tells it again when it is undeleted", async () => {
    const { flowExecutionId, report } = await startRun();
    const { id } = await report("a", Status.QUEUED);
    await using watcher = watchTasks({ flowExecutionId });
    await watcher.untilCase("synced");
    await tasksOf().deleteTaskExecution({ id });
    const gone = await watcher.untilCase("changes");
    expect(changesOf([gone])[0]!.change.value).toMatchObject({ id, reason: WatchRemoval.DELETED });
    await tasksOf().undeleteTaskExecution({ id });
    const back = await watcher.untilCase("changes");
    expect(changesOf([back])[0]!.change.value).toMatchObject({ id, status: Status.QUEUED });
  });

  test("tells everything anew when a run is undeleted", async () => {
    const { flowId, flowExecutionId, report } = await startRun();
    await report("a", Status.QUEUED);
    await using watcher = watchTasks({ flowId });
    await watcher.untilCase("synced");
    await runs().deleteFlowExecution({ id: flowExecutionId });
    await watcher.untilCase("changes");
    await runs().undeleteFlowExecution({ id: flowExecutionId });
    const resync = await watcher.untilCase("resync");
    expect(resync.content.value).toMatchObject({ reason: ResyncReason.UNDELETED });
    const snapshot = await watcher.untilCase("snapshot");
    expect(describeChanges(changesOf([snapshot]))).toEqual(["a/0 1"]);
    await watcher.untilCase("synced");
  });

  test("of nothing watches the whole organization and no other", async () => {
    const own = await givenOrganization(database.orm);
    const ours = await startRun(["a"], own);
    const theirs = await startRun(["a"]);
    await using watcher = watchTasks({}, tasksOf(own));
    await watcher.untilCase("synced");
    await theirs.report("a", Status.RUNNING);
    await ours.report("a", Status.RUNNING);
    await watcher.untilCase("changes");
    expect(changesOf(watcher.heard).map(({ change }) => change.value)).toMatchObject([
      { organizationId: own, flowExecutionId: ours.flowExecutionId },
    ]);
  });
});

describe("the payloads", () => {
  const text = (length: number) => fromJson(ValueSchema, "x".repeat(length));

  test("are told in the full view only, and not if they are larger than 256 KiB", async () => {
    const { flowExecutionId, report } = await startRun();
    await report("a", Status.COMPLETED, { input: text(5), output: text(10) });
    await using basic = watchTasks({ flowExecutionId });
    await using full = watchTasks({ flowExecutionId, view: View.FULL });
    await basic.untilCase("synced");
    await full.untilCase("synced");
    await report("b", Status.COMPLETED, { output: text(300_000) });
    await basic.untilCase("end");
    await full.untilCase("end");
    const payloads = (watcher: typeof full) =>
      changesOf(watcher.heard).map(({ change, payloadsOmitted }) => {
        const { taskName, input, output } = change.value as TaskExecution;
        return [taskName, input?.kind.value, output?.kind.value, payloadsOmitted];
      });
    expect(payloads(basic)).toEqual([
      ["a", undefined, undefined, false],
      ["b", undefined, undefined, false],
    ]);
    expect(payloads(full)).toEqual([
      ["a", "xxxxx", "xxxxxxxxxx", false],
      ["b", undefined, undefined, true],
    ]);
  });

  test("of many records come in messages of about 256 KiB", async () => {
    const { flowExecutionId, report } = await startRun(["a"]);
    for (let taskExecutionIdx = 0; taskExecutionIdx < 8; taskExecutionIdx++) {
      await report("a", Status.COMPLETED, { taskExecutionIdx, output: text(100_000) });
    }
    await using watcher = watchTasks({ flowExecutionId, view: View.FULL });
    await watcher.untilCase("end");
    const sizes = watcher.heard
      .filter(({ content }) => content.case === "snapshot")
      .map((response) => changesOf([response]).length);
    expect(sizes).toEqual([2, 2, 2, 2]);
  });
});

describe("a resume token", () => {
  const invalid = "resume_token: not a token of this watch and filter; start again without it";

  async function refusalOf(request: Request, tasks = tasksOf()): Promise<string> {
    try {
      await watchTasks(request, tasks).next();
      return "taken";
    } catch (error) {
      return ConnectError.from(error).rawMessage;
    }
  }

  test("that is garbage, changed, of another filter, method or organization is refused with one text", async () => {
    const { flowExecutionId, flowId } = await startRun();
    const watcher = watchTasks({ flowExecutionId });
    await watcher.untilCase("synced");
    watcher.close();
    const token = watcher.token();
    const other = await startRun();
    const theirs = await givenOrganization(database.orm);
    const { flowExecutionId: theirRun } = await startRun(["a"], theirs);
    const flipped = token.slice(0, 40) + (token[40] === "A" ? "B" : "A") + token.slice(41);
    const { nextPageToken } = await tasksOf().listTaskExecutions({ pageSize: 1 });
    for (const [request, tasks] of [
      [{ flowExecutionId, resumeToken: "x" }],
      [{ flowExecutionId, resumeToken: flipped }],
      [{ flowExecutionId, resumeToken: nextPageToken }],
      [{ flowExecutionId: other.flowExecutionId, resumeToken: token }],
      [{ flowExecutionId, statuses: [Status.FAILED], resumeToken: token }],
      [{ flowId, resumeToken: token }],
      [{ flowExecutionId: theirRun, resumeToken: token }, tasksOf(theirs)],
      [{ resumeToken: token }, tasksOf(theirs)],
    ] as [Request, ReturnType<typeof tasksOf>?][]) {
      expect(await refusalOf(request, tasks), JSON.stringify(request)).toBe(invalid);
    }
    expect(await outcomeOf(watchTasks({ flowExecutionId, resumeToken: "x" }).next())).toBe(
      "RESUME_TOKEN_INVALID",
    );
    expect(await refusalOf({ flowExecutionId, resumeToken: token, view: View.FULL })).toBe("taken");
  });

  test("of a time that the database has not come to is refused with the same text", async () => {
    const { flowExecutionId, report } = await startRun();
    await report("a", Status.QUEUED);
    const watcher = watchTasks({ flowExecutionId });
    await watcher.untilCase("synced");
    watcher.close();
    // As after a restore of a backup.
    await asSuperuser(
      database.superuserUrl,
      "update feed set position = position - 1 where organization_id = $1",
      [organizationId],
    );
    const refused = await refusalOf({ flowExecutionId, resumeToken: watcher.token() });
    await asSuperuser(
      database.superuserUrl,
      "update feed set position = position + 1 where organization_id = $1",
      [organizationId],
    );
    expect(refused).toBe(invalid);
  });

  test("that is older than three days, or than the changes that are kept, begins everything anew", async () => {
    const own = await givenOrganization(database.orm);
    const { flowExecutionId, report } = await startRun(["a"], own);
    await report("a", Status.QUEUED);
    const tasks = tasksOf(own);
    const watcher = watchTasks({ flowExecutionId }, tasks);
    await watcher.untilCase("synced");
    watcher.close();
    const resumeToken = watcher.token();
    await report("a", Status.RUNNING);
    const later = tasksOf(own, () => new Date(Date.now() + 3 * 24 * 3600 * 1000 + 1000));
    const expected = ["resync", "snapshot", "synced"];
    await using old = watchTasks({ flowExecutionId, resumeToken }, later);
    await old.untilCase("synced");
    expect(cases(old)).toEqual(expected);
    expect(old.heard[0]!.content.value).toMatchObject({ reason: ResyncReason.TOKEN_TOO_OLD });

    await using kept = watchTasks({ flowExecutionId, resumeToken }, tasks);
    await kept.untilCase("synced");
    expect(cases(kept)).toEqual(["changes", "synced"]);
    await asSuperuser(
      database.superuserUrl,
      `with pruned as (update feed set pruned_position = position where organization_id = $1)
       delete from event where organization_id = $1`,
      [own],
    );
    await using pruned = watchTasks({ flowExecutionId, resumeToken }, tasks);
    await pruned.untilCase("synced");
    expect(cases(pruned)).toEqual(expected);
    expect(changesOf(pruned.heard).map(({ change }) => change.value)).toMatchObject([
      { taskName: "a", status: Status.RUNNING },
    ]);
  });
});

test("a run or flow that the organization does not have is not found", async () => {
  const outcome = (request: Request) => outcomeOf(watchTasks(request).next());
  expect(await outcome({ flowExecutionId: randomUUID() })).toBe("NOT_FOUND");
  expect(await outcome({ flowId: randomUUID() })).toBe("NOT_FOUND");
  expect(await outcome({ statuses: [Status.DELETED] })).toBe("VALIDATION_FAILED");
});
