import type { MikroORM } from "@mikro-orm/postgresql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Caller } from "../../src/auth/caller.ts";
import { createIdMaker } from "../../src/db/new-id.ts";
import { forOrganization } from "../../src/db/organization.ts";
import { createEngine } from "../../src/dispatch/engine.ts";
import { FlowPlans } from "../../src/flow/flow-plan.ts";
import { FlowExecution } from "../../src/flow-execution/flow-execution.entity.ts";
import type { Change, ChangeResult, Report } from "../../src/task-execution/changes.ts";
import { Event } from "../../src/task-execution/event.entity.ts";
import { TaskExecution } from "../../src/task-execution/task-execution.entity.ts";
import { WritePath } from "../../src/task-execution/write-path.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";

describe("the write path", () => {
  let database: TestDatabase;
  let orm: MikroORM;
  let ours: string;
  const writePath = new WritePath({
    now: () => new Date(),
    newId: createIdMaker(),
    engine: createEngine(Math.random),
    plans: new FlowPlans(),
    onReady: () => undefined,
    onChange: () => undefined,
  });
  beforeAll(async () => {
    database = await openDatabase();
    ({ orm } = database);
    ours = await givenOrganization(orm);
  });
  afterAll(() => database.close());

  const apply = (...changes: Change[]) =>
    writePath.apply(
      forOrganization(orm, ours),
      {
        caller: {
          organizationId: ours,
          subject: "s",
          kind: "worker",
          role: "admin",
          keyName: "k",
        } satisfies Caller,
        requestId: "r",
      },
      changes,
    );

  test("decides a key that comes more than once in a batch in order", async () => {
    const { flowExecutionId } = await givenRun(orm, ours, ["a"]);
    const results = await apply(
      report(flowExecutionId, "queued", { payloads: { input: "1" } }),
      report(flowExecutionId, "running"),
      report(flowExecutionId, "running"),
      report(flowExecutionId, "queued"),
      report(flowExecutionId, "completed", { payloads: { output: "2" } }),
      report(flowExecutionId, "completed", { payloads: { output: "3" } }),
      report(flowExecutionId, "completed", { payloads: { output: "2", input: "1" } }),
    );
    expect(results.map(outcomeOf)).toEqual([
      "created",
      "updated",
      "unchanged",
      "ILLEGAL_TRANSITION",
      "updated",
      "CONTENT_DIFFERS",
      "unchanged",
    ]);
    const em = forOrganization(orm, ours);
    const [record, ...others] = await em.find(
      TaskExecution,
      { flowExecutionId },
      { populate: ["input", "output"] },
    );
    expect(others).toEqual([]);
    expect(record).toMatchObject({ status: "completed", input: "1", output: "2", etag: 3, payloadBytes: 2 });
  });

  test("compares content with what an earlier transaction stored", async () => {
    const { flowExecutionId } = await givenRun(orm, ours, ["a"]);
    await apply(report(flowExecutionId, "completed", { payloads: { input: '{"a":1}', output: '"x"' } }));
    const results = await apply(
      report(flowExecutionId, "completed", { payloads: { output: '"y"' } }),
      report(flowExecutionId, "completed", { payloads: { output: '"longer"' } }),
      report(flowExecutionId, "completed", { payloads: { output: '"x"', input: '{"a":1}' } }),
      report(flowExecutionId, "completed"),
    );
    expect(results.map(outcomeOf)).toEqual(["CONTENT_DIFFERS", "CONTENT_DIFFERS", "unchanged", "unchanged"]);
  });

  test("numbers the events of a run without gaps, whoever writes at the same time", async () => {
    const tasks = Array.from({ length: 40 }, (_, index) => `task ${index}`);
    const { flowExecutionId } = await givenRun(orm, ours, tasks);
    await Promise.all(
      tasks.map(async (taskName) => {
        await apply(report(flowExecutionId, "queued", { taskName }));
        await apply(
          report(flowExecutionId, "running", { taskName }),
          report(flowExecutionId, "failed", { taskName }),
        );
      }),
    );
    const em = forOrganization(orm, ours);
    const events = await em.find(Event, { flowExecutionId }, { orderBy: { revision: "asc" } });
    expect(events.map(({ revision }) => Number(revision))).toEqual(
      Array.from({ length: 120 }, (_, i) => i + 1),
    );
    const run = await em.findOneOrFail(FlowExecution, { id: flowExecutionId });
    expect(run).toMatchObject({
      status: "failed",
      failedTasks: 40,
      queuedTasks: 0,
      runningTasks: 0,
      revision: 120n,
    });
  });

  test("counts of each task the newest record that is not deleted", async () => {
    const { flowExecutionId } = await givenRun(orm, ours, ["a"]);
    const status = async () =>
      (await forOrganization(orm, ours).findOneOrFail(FlowExecution, { id: flowExecutionId })).status;
    await apply(report(flowExecutionId, "failed"));
    expect(await status()).toBe("failed");
    const [retry] = await apply(report(flowExecutionId, "running", { taskExecutionIdx: 1 }));
    expect(await status()).toBe("running");
    await apply(report(flowExecutionId, "completed", { taskExecutionIdx: 1 }));
    expect(await status()).toBe("completed");
    const id = "record" in retry! ? retry.record.id : "";
    await apply({ type: "delete", id, etag: "", reason: "" });
    expect(await status()).toBe("failed");
    await apply({ type: "undelete", id, etag: "", reason: "" });
    expect(await status()).toBe("completed");
  });

  test("sets the times of a task and of its run from the reports", async () => {
    const { flowExecutionId } = await givenRun(orm, ours, ["a"]);
    const startTime = new Date("2026-01-01T00:00:00.123Z");
    const endTime = new Date("2026-01-01T01:00:00Z");
    await apply(report(flowExecutionId, "running", { startTime }));
    await apply(report(flowExecutionId, "completed", { endTime }));
    const [result] = await apply(report(flowExecutionId, "completed", { startTime, endTime }));
    const run = await forOrganization(orm, ours).findOneOrFail(FlowExecution, { id: flowExecutionId });
    expect(run).toMatchObject({ status: "completed", startTime, endTime });
    expect(result).toMatchObject({ outcome: "unchanged", record: { startTime, endTime } });
  });
});

function report(flowExecutionId: string, status: Report["status"], more: Partial<Report> = {}): Report {
  return {
    type: "report",
    flowExecutionId,
    taskName: "a",
    taskExecutionIdx: 0,
    status,
    payloads: {},
    ...more,
  };
}

function outcomeOf(result: ChangeResult): string {
  return "refused" in result ? result.refused.problem : result.outcome;
}
