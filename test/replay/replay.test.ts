import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FlowExecution_Status as Status } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { openDatabase, type TestDatabase } from "../database.ts";
import { ran, recording, task } from "../import/recordings.ts";
import { startTestService, type TestService } from "../service.ts";
import { runCommand } from "./command.ts";

let database: TestDatabase;
let service: TestService & AsyncDisposable;
let directory: string;
beforeAll(async () => {
  database = await openDatabase();
  service = await startTestService(database.serviceUrl);
  directory = await mkdtemp(join(tmpdir(), "taskledger-replay-"));
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await database.close();
  await rm(directory, { recursive: true });
});

async function replay(text: string, args: string[]) {
  const file = join(directory, "recording.json");
  await writeFile(file, text);
  return runCommand(service, "replay/main.ts", [file, ...args]);
}

test("a recording is played by worker processes, in order, as often as one likes", async () => {
  // A fan-out of twenty, and a fan-in.
  const middle = Array.from({ length: 20 }, (_, index) => `m${index}`);
  const tasks = [task("first"), ...middle.map((id) => task(id, ["first"])), task("last", middle)];
  const text = recording(tasks, [ran("first"), ...middle.map((id) => ran(id, 2)), ran("last")]);
  for (const scale of ["0", "0.01"]) {
    const { code, output, errors } = await replay(text, ["--workers", "2", "--scale", scale]);
    expect(errors).not.toMatch(/error|worker/i);
    expect(output).toContain("22 tasks in");
    expect(output).toContain("0 results refused, 0 leases lost, 0 calls repeated");
    expect(output).toContain("every task completed once, and none before its parents");
    expect(code).toBe(0);
  }
}, 60_000);

test("a run that does not complete is a failure, and the replay says what is missing", async () => {
  const runs = service.client(FlowExecutionService);
  const known = new Set((await runs.listFlowExecutions({})).flowExecutions.map(({ id }) => id));
  const replayed = replay(recording([task("long")], [ran("long", 3600)]), ["--workers", "1", "--scale", "1"]);
  let id: string | undefined;
  const find = async () => {
    const { flowExecutions } = await runs.listFlowExecutions({ statuses: [Status.RUNNING] });
    id = flowExecutions.find((run) => !known.has(run.id))?.id;
    return id;
  };
  await expect.poll(find, { timeout: 30_000 }).toBeDefined();
  await runs.cancelFlowExecution({ id: id! });
  const { code, output } = await replayed;
  expect(output).toContain("the run ended as STATUS_CANCELLED");
  expect(output).toContain("long completed 0 times");
  expect(code).toBe(1);
}, 60_000);

test("what is no recording, and what is no number, is refused", async () => {
  expect(await replay("{}", [])).toMatchObject({
    code: 1,
    errors: expect.stringContaining("not a WfFormat 1.5 recording"),
  });
  expect(await replay("{}", ["--workers", "0"])).toMatchObject({
    code: 2,
    errors: expect.stringContaining("usage"),
  });
}, 60_000);
