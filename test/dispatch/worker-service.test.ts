import { randomUUID } from "node:crypto";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Fleet, openFleet } from "./fleet.ts";

describe("a managed run", () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await openFleet();
  });
  afterAll(() => fleet.close());

  test("hands outputs down through templates, task after task", async () => {
    const run = await fleet.start(
      `
      tasks:
      - name: extract
        input: {from: "{{input.table}}"}
      - name: load
        input: {rows: "{{extract.output.rows}}", note: "{{extract.output.rows[0]}} rows from {{input.table}}"}`,
      { table: "t" },
    );
    const [extract] = await fleet.claim(["extract", "load"]);
    expect(extract?.input).toEqual({ from: "t" });
    expect(await fleet.complete(extract!, { rows: [7, null] })).toBe("UPDATED");
    const [load] = await fleet.claim(["extract", "load"]);
    expect(load?.input).toEqual({ rows: [7, null], note: "7 rows from t" });
    await fleet.complete(load!);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("fails a task whose template finds nothing, and says what is missing", async () => {
    const run = await fleet.start(`
      tasks:
      - name: extract
      - name: load
        input: "{{extract.output.rows}}"`);
    const [extract] = await fleet.claim(["extract"]);
    await fleet.complete(extract!, { row: 1 });
    expect(await run.status()).toBe("FAILED");
    const load = await run.get("load");
    expect(load.error?.type).toBe("InvalidInput");
    expect(load.error?.message).toBe(
      '{{extract.output.rows}}: output of "extract" has no .rows: it is an object with the keys row',
    );
  });

  test("applies a loop to each item, and gives on the outputs in the order of the items", async () => {
    const run = await fleet.start(`
      tasks:
      - name: list
      - name: each
        for_each: "{{list.output}}"
        input: {id: "{{item.id}}", at: "{{item_index}}"}
      - name: sum
        input: "{{each.output}}"`);
    const [list] = await fleet.claim(["list"]);
    await fleet.complete(list!, [{ id: "a" }, { id: "b" }, { id: "c" }]);
    const items = await fleet.claim(["each"], 10);
    expect(items.map(({ input }) => input)).toEqual([
      { id: "a", at: 0 },
      { id: "b", at: 1 },
      { id: "c", at: 2 },
    ]);
    for (const item of items.toReversed()) await fleet.complete(item, `done ${item.iteration}`);
    const [sum] = await fleet.claim(["sum"]);
    expect(sum?.input).toEqual(["done 0", "done 1", "done 2"]);
    await fleet.complete(sum!);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("completes an empty loop at once", async () => {
    const run = await fleet.start(
      `
      tasks:
      - name: each
        for_each: "{{input}}"
      - name: sum
        input: "{{each.output}}"`,
      [],
    );
    const [sum] = await fleet.claim(["sum"]);
    expect(sum?.input).toEqual([]);
    await fleet.complete(sum!);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("tries again what failed, as a new record, and gives up after the last attempt", async () => {
    const run = await fleet.start(`
      tasks:
      - name: flaky
        input: 1
        retry: {max_attempts: 2, initial_backoff: 0s}`);
    const [first] = await fleet.claim(["flaky"]);
    await fleet.fail(first!, "Boom");
    const [second] = await fleet.claim(["flaky"]);
    expect(second).toMatchObject({ attempt: 2, idx: 1, input: 1 });
    expect(await run.status()).toBe("RUNNING");
    await fleet.fail(second!, "Boom");
    expect(await fleet.claim(["flaky"])).toEqual([]);
    expect(await run.status()).toBe("FAILED");
  });

  test("claims in the call that reports", async () => {
    await fleet.start(`
      tasks:
      - name: one
        executor: chained
      - name: two
        executor: chained
        depends_on: [one]`);
    const [one] = await fleet.claim(["chained"]);
    const { results, claimed } = await fleet.client.reportTaskExecutions({
      reports: [{ id: one!.id, token: one!.token, result: { case: "completed", value: {} } }],
      claim: { executors: ["chained"], maxTaskExecutions: 5, workerId: "w", requestId: randomUUID() },
    });
    expect(results[0]?.result.case).toBe("accepted");
    expect(claimed.map(({ taskExecution }) => taskExecution?.taskName)).toEqual(["two"]);
  });

  test("fails a task whose output cannot be stored, and says why", async () => {
    const run = await fleet.start("\n      tasks: [{name: bad}]");
    const [bad] = await fleet.claim(["bad"]);
    const output = fromJson(
      ValueSchema,
      Array.from({ length: 10_001 }, () => 1),
    );
    await fleet.report(bad!, { case: "completed", value: { output } });
    expect(await run.status()).toBe("FAILED");
    expect((await run.get("bad")).error).toMatchObject({ type: "InvalidOutput" });
  });
});
