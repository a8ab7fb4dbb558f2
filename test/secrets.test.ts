import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { pino } from "pino";
import { expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskTagOperation_Action as Action,
  TaskExecutionService,
} from "../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultOrganizationId } from "../src/organization/bootstrap.ts";
import { outcomeOf } from "./client.ts";
import { asSuperuser, openDatabase } from "./database.ts";
import { givenRun } from "./runs.ts";
import { bootstrapKey, startTestService } from "./service.ts";

test("neither our log nor the database's ever holds a payload or a credential, whatever goes wrong", async () => {
  const canary = `canary-${crypto.randomUUID()}`;
  const written: string[] = [];
  const log = pino({ level: "trace" }, { write: (line: string) => void written.push(line) });
  const database = await openDatabase();
  const outcomes: string[] = [];
  {
    await using service = await startTestService(database.serviceUrl, {}, log);
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
    const tasks = service.client(TaskExecutionService);
    const payload = fromJson(ValueSchema, { [canary]: canary });
    const report = (status: Status, more: object = {}) =>
      outcomeOf(
        tasks.createTaskExecution({ flowExecutionId, taskName: "task", status, input: payload, ...more }),
      );

    outcomes.push(await report(Status.QUEUED));
    outcomes.push(await report(Status.QUEUED, { input: fromJson(ValueSchema, `${canary}2`) }));
    outcomes.push(await report(Status.RUNNING, { output: payload }));
    outcomes.push(await report(Status.QUEUED, { input: fromJson(ValueSchema, `${canary}\0`) }));
    const { taskExecutions } = await tasks.listTaskExecutions({ flowExecutionId });
    const [queued] = taskExecutions;
    // The statements that carry the payload fail in the database itself: on a constraint, and on a lost table.
    await asSuperuser(
      database.superuserUrl,
      "alter table task_execution add constraint broken check (status <> 'failed')",
    );
    const error = { message: canary, type: canary, traceback: canary };
    outcomes.push(await report(Status.FAILED, { taskExecutionIdx: 1, error }));
    await asSuperuser(database.superuserUrl, "alter table event rename to gone");
    outcomes.push(await report(Status.COMPLETED, { taskExecutionIdx: 2, output: payload }));
    const tag = { action: Action.ADD, id: queued!.id, tag: "a", metadata: { [canary]: canary } };
    outcomes.push(await outcomeOf(tasks.updateTaskTags({ operations: [tag] })));
  }
  const [row] = await asSuperuser<{ log: string }>(
    database.superuserUrl,
    "select pg_read_file(current_setting('data_directory') || '/../postgres.log') as log",
  );
  await database.close();

  expect(outcomes).toEqual([
    "ok",
    "CONTENT_DIFFERS",
    "VALIDATION_FAILED",
    "PAYLOAD_REFUSED",
    "VALIDATION_FAILED",
    "INTERNAL",
    "INTERNAL",
  ]);
  expect(written.length).toBeGreaterThanOrEqual(outcomes.length);
  for (const text of [written.join(""), row!.log]) {
    expect(text).not.toContain(canary);
    expect(text).not.toContain(bootstrapKey);
  }
  // The check can fail: these are the logs that would hold it.
  expect(written.join("")).toContain("CONTENT_DIFFERS");
  expect(row!.log).toContain("ready to accept connections");
});
