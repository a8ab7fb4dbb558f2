import { afterAll, beforeAll, expect, test } from "vitest";
import { connect } from "../../src/worker/connect.ts";
import { openDatabase, type TestDatabase } from "../database.ts";
import { bootstrapKey, startServiceProcess } from "../service.ts";
import { runAt, startRun, startWorker } from "./fixture.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database.close());

// The service is killed while a worker waits for its answers, while tasks are being done, and while their
// results are on their way; one that is started anew at the same place knows all of it.
test("a worker goes on where it was when the service is killed and started again", async () => {
  const names = Array.from({ length: 100 }, (_, index) => `t${index}`);
  const done: string[] = [];
  const half = Promise.withResolvers<void>();
  const back = Promise.withResolvers<void>();
  const first = await startServiceProcess(database.serviceUrl);
  await using worker = startWorker(
    connect(first.origin, bootstrapKey),
    {
      work: async ({ name }) => {
        done.push(name);
        if (done.length === 50) half.resolve();
        // These are in hand while there is no service.
        if (done.length >= 50 && done.length < 55) await back.promise;
      },
    },
    { concurrency: 10 },
  );
  const tasks = JSON.stringify(names.map((name) => ({ name, executor: "work" })));
  const { id } = await startRun(first, tasks);
  await half.promise;
  await first.end("SIGKILL");
  await using second = await startServiceProcess(database.serviceUrl, { PORT: String(first.port) });
  back.resolve();
  const run = runAt(second, id);
  expect(await run.ended()).toBe("COMPLETED");
  expect(done.toSorted()).toEqual(names.toSorted());
  expect(await run.tasks()).toEqual(names.map((name) => `${name}/0 COMPLETED`).sort());
  expect(worker.count("trouble")).toBeGreaterThan(0);
  expect(worker.count("refused")).toBe(0);
}, 60_000);
