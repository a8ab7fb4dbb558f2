import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { asSuperuser, openDatabase } from "../database.ts";
import { type Fleet, openFleet } from "./fleet.ts";
import { createSweeper } from "./sweeper.ts";

let fleet: Fleet;
beforeAll(async () => {
  // Whoever waits for a lock here waits until the test has failed.
  fleet = await openFleet(await openDatabase({ lockTimeoutMs: 60_000, statementTimeoutMs: 60_000 }));
});
afterAll(() => fleet.close());

// A long transaction on a run with many leases that have run out, or many such runs, kept the sweeper waiting for
// its lock once for each page of leases, and everybody else's with it.
test("Runs that others have locked do not keep the sweeper from those that are free", async () => {
  const { superuserUrl } = fleet.database;
  const definition = "\n      tasks: [{name: task}, {name: other, executor: task}]";
  const [locked, free] = [await fleet.start(definition), await fleet.start(definition)];
  const held = await fleet.claim(["task"], 4);
  expect(held).toHaveLength(4);
  await asSuperuser(superuserUrl, "update task_lease set expire_time = expire_time - interval '1 hour'");
  const blocker = new Client({ connectionString: superuserUrl });
  await blocker.connect();
  await blocker.query("begin");
  await blocker.query("select from flow_execution where id = $1 for no key update", [locked.id]);

  const sweeper = createSweeper(fleet.database);
  await sweeper.sweep();
  expect(await locked.tasks()).toEqual(["other/0 RUNNING", "task/0 RUNNING"]);
  expect(await free.tasks()).toEqual(["other/0 FAILED", "other/1 QUEUED", "task/0 FAILED", "task/1 QUEUED"]);

  // Whoever waited for it beside the sweeps takes it as soon as it is free.
  await blocker.query("rollback");
  await blocker.end();
  await expect
    .poll(() => locked.tasks())
    .toEqual(["other/0 FAILED", "other/1 QUEUED", "task/0 FAILED", "task/1 QUEUED"]);
  await sweeper.close();
});
