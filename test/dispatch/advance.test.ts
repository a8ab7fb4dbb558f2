import { randomUUID } from "node:crypto";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { nameIn } from "../client.ts";
import { type Fleet, type Held, jsonOf, openFleet } from "./fleet.ts";
import { openRunCheck, type RunCheck } from "./run-check.ts";

describe("a managed run goes on", () => {
  let fleet: Fleet;
  let check: RunCheck;
  beforeAll(async () => {
    fleet = await openFleet();
    check = await openRunCheck(fleet.database);
  });
  afterAll(async () => {
    await check.close();
    await fleet.close();
  });

  test("in the order that templates imply, without any depends_on", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: last, input: ["{{middle.output}}", "{{first.output}}"]}
      - {name: middle, input: "after {{first.output}}"}
      - {name: first}`);
    const names = ["first", "middle", "last"];
    const order: Held[] = [];
    for (let [task] = await fleet.claim(names, 10); task; [task] = await fleet.claim(names, 10)) {
      order.push(task);
      await fleet.complete(task, `${task.name} done`);
    }
    expect(order.map(({ name, input }) => [name, input])).toEqual([
      ["first", undefined],
      ["middle", "after first done"],
      ["last", ["middle done", "first done"]],
    ]);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("never with what an output looks like: templates in it are text", async () => {
    await fleet.start("\n      tasks: [{name: evil}, {name: trusting, input: 'got {{evil.output}}'}]");
    await fleet.complete(await fleet.claimOne("evil"), "{{input}} {{evil.output}}");
    expect((await fleet.claimOne("trusting")).input).toBe("got {{input}} {{evil.output}}");
  });

  test("after a failure that is tolerated, and completes; without it, it fails and what comes after never runs", async () => {
    const tasks = (onFailure: string) => `
      tasks:
      - {name: optional, on_failure: ${onFailure}}
      - {name: after, depends_on: [optional]}`;
    const tolerant = await fleet.start(tasks("continue"));
    await fleet.fail(await fleet.claimOne("optional"), "Boom");
    await fleet.complete(await fleet.claimOne("after"));
    expect(await tolerant.status()).toBe("COMPLETED");
    const strict = await fleet.start(tasks("fail"));
    await fleet.fail(await fleet.claimOne("optional"), "Boom");
    expect(await fleet.claim(["after"])).toEqual([]);
    expect(await strict.status()).toBe("FAILED");
  });

  test("only after the last attempt of a failure that is tolerated", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: optional, on_failure: continue, retry: {max_attempts: 2, initial_backoff: 1h}}
      - {name: after, depends_on: [optional]}`);
    await fleet.fail(await fleet.claimOne("optional"), "Boom");
    expect(await fleet.claim(["optional", "after"])).toEqual([]);
    expect(await run.status()).toBe("RUNNING");
    await check.hurry(run.id);
    const second = await fleet.claimOne("optional");
    expect(second).toMatchObject({ attempt: 2, idx: 1 });
    await fleet.fail(second, "Boom");
    await fleet.complete(await fleet.claimOne("after"));
    expect(await run.status()).toBe("COMPLETED");
  });

  test("and fails, not hangs, when a task needs the output of a tolerated failure", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: optional, on_failure: continue}
      - {name: after, input: "{{optional.output}}"}`);
    await fleet.fail(await fleet.claimOne("optional"), "Boom");
    expect((await run.get("after")).error).toMatchObject({
      type: "InvalidInput",
      message: '{{optional.output}}: there is no output of "optional"',
    });
    expect(await run.status()).toBe("FAILED");
  });

  test.each([
    ["an input that the run has not", "{{input.x}}", undefined, "there is no input of the run"],
    ["a key that is only inherited", "{{input.constructor}}", {}, "input of the run has no .constructor"],
    [
      "more than a payload may hold",
      "{{input.big}}{{input.big}}",
      { big: "x".repeat(600_000) },
      "larger than the limit",
    ],
  ])("and fails at once when its first task needs %s", async (_what, template, input, message) => {
    const run = await fleet.start(`\n      tasks: [{name: a, input: "${template}"}]`, input);
    expect(await run.status()).toBe("FAILED");
    const { error, status, attempt } = await run.get("a");
    expect(error?.message).toContain(message);
    expect([nameIn(Status, status), attempt]).toEqual(["FAILED", 1]);
  });

  test("through a chain of tasks that all end at once", async () => {
    const links = Array.from({ length: 40 }, (_, n) => ({
      name: `t${n}`,
      for_each: n === 0 ? "{{input}}" : `{{t${n - 1}.output}}`,
    }));
    const run = await fleet.start(`\n      tasks: ${JSON.stringify(links)}`, []);
    expect(await run.status()).toBe("COMPLETED");
    expect(jsonOf((await run.get("t39")).output)).toEqual([]);
  });

  test.each<[string, string | number | object]>([
    ["text", "a list?"],
    ["number", 3],
    ["map", { 0: "a" }],
  ])("to its end when the list of a loop is no list but a %s", async (_what, output) => {
    const run = await fleet.start(`
      tasks:
      - {name: list}
      - {name: each, for_each: "{{list.output}}"}
      - {name: sum, input: "{{each.output}}"}`);
    await fleet.complete(await fleet.claimOne("list"), output as never);
    const { error } = await run.get("each");
    expect(error).toMatchObject({ type: "InvalidInput", message: "for_each: {{list.output}} is no list" });
    expect(await run.status()).toBe("FAILED");
    expect(await fleet.claim(["each", "sum"])).toEqual([]);
  });
});

describe("a loop", () => {
  let fleet: Fleet;
  let check: RunCheck;
  beforeAll(async () => {
    fleet = await openFleet();
    check = await openRunCheck(fleet.database);
  });
  afterAll(async () => {
    await check.close();
    await fleet.close();
  });

  const loop = (more: string) => `
      tasks:
      - {name: each, for_each: "{{input}}"${more}}
      - {name: sum, input: "{{each.output}}"}`;

  test("tries one item again as a new record whose idx no other item or attempt has", async () => {
    const run = await fleet.start(loop(", retry: {max_attempts: 3, initial_backoff: 0s}"), ["x", "y", "z"]);
    const [x, y, z] = await fleet.claim(["each"], 10);
    await fleet.fail(y!, "Boom");
    await fleet.complete(x!, "X");
    const [again] = await fleet.claim(["each"], 10);
    expect(again).toMatchObject({ idx: 3, iteration: 1, attempt: 2, input: "y" });
    await fleet.fail(again!, "Boom");
    await fleet.fail(z!, "Boom");
    const rest = await fleet.claim(["each"], 10);
    expect(rest.map(({ idx, iteration, attempt }) => [idx, iteration, attempt]).sort()).toEqual([
      [4, 1, 3],
      [5, 2, 2],
    ]);
    expect(await fleet.claim(["sum"])).toEqual([]);
    for (const item of rest.toReversed()) await fleet.complete(item, String(item.input).toUpperCase());
    const [sum] = await fleet.claim(["sum"]);
    expect(sum!.input).toEqual(["X", "Y", "Z"]);
    await fleet.complete(sum!);
    expect(await run.status()).toBe("COMPLETED");
    expect(await check.faultsOf(run.id, knownLoop)).toEqual([]);
  });

  test("many of whose items fail in one call of reports gives each another idx", async () => {
    const run = await fleet.start(
      loop(", retry: {max_attempts: 2, initial_backoff: 0s}"),
      [0, 1, 2, 3, 4, 5],
    );
    const items = await fleet.claim(["each"], 10);
    const failed = { case: "failed", value: { error: { type: "Boom", message: "" } } } as const;
    await fleet.client.reportTaskExecutions({
      reports: items.map(({ id, token }) => ({ id, token, result: failed })),
    });
    const again = await fleet.claim(["each"], 10);
    expect(again.map(({ idx }) => idx).sort((a, b) => a - b)).toEqual([6, 7, 8, 9, 10, 11]);
    expect(new Set(again.map(({ iteration }) => iteration)).size).toBe(6);
    for (const item of again) await fleet.complete(item, item.input ?? null);
    expect((await fleet.claim(["sum"]))[0]!.input).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await check.faultsOf(run.id, knownLoop)).toEqual([]);
  });

  test("fails when an item has failed for good, once the others have ended", async () => {
    const run = await fleet.start(loop(""), ["x", "y"]);
    const [x, y] = await fleet.claim(["each"], 10);
    await fleet.fail(x!, "Boom");
    expect(await run.status()).toBe("RUNNING");
    await fleet.complete(y!, "Y");
    expect(await run.status()).toBe("FAILED");
    expect(await fleet.claim(["sum"])).toEqual([]);
  });

  test("whose failure is tolerated gives null for the items that failed, at their places", async () => {
    const run = await fleet.start(loop(", on_failure: continue"), ["x", "y", "z"]);
    const [x, y, z] = await fleet.claim(["each"], 10);
    await fleet.complete(z!, "Z");
    await fleet.fail(y!, "Boom");
    await fleet.complete(x!, "X");
    const [sum] = await fleet.claim(["sum"]);
    expect(sum!.input).toEqual(["X", null, "Z"]);
    await fleet.complete(sum!);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("asks each item what it is about, its place included, and nothing of it is looked at for templates", async () => {
    await fleet.start(
      `
      tasks:
      - {name: ask, for_each: "{{input}}", input: {text: "{{item_index}}: {{item.id}}", item: "{{item}}"}}`,
      [{ id: "{{input}}" }, { id: null }],
    );
    expect((await fleet.claim(["ask"], 10)).map(({ input }) => input)).toEqual([
      { text: "0: {{input}}", item: { id: "{{input}}" } },
      { text: "1: null", item: { id: null } },
    ]);
  });

  test("of an item that cannot be asked fails that item, and the others run", async () => {
    const run = await fleet.start(
      `
      tasks:
      - {name: ask, for_each: "{{input}}", input: "{{item.id}}"}`,
      [{ id: 1 }, {}, { id: 3 }],
    );
    const items = await fleet.claim(["ask"], 10);
    expect(items.map(({ input }) => input)).toEqual([1, 3]);
    expect((await run.get("ask", 1)).error).toMatchObject({ type: "InvalidInput" });
    for (const item of items) await fleet.complete(item);
    expect(await run.status()).toBe("FAILED");
  });

  test("over null items, lists and texts asks for them as they are", async () => {
    await fleet.start("\n      tasks: [{name: odd, for_each: '{{input}}'}]", [null, [1, [2]], "", false]);
    expect((await fleet.claim(["odd"], 10)).map(({ input }) => input)).toEqual([null, [1, [2]], "", false]);
  });

  test("of 5,000 items runs them all, and gives on the whole list", { timeout: 120_000 }, async () => {
    const run = await fleet.start(loop(""), [...Array(5000).keys()]);
    let claimed = (await fleet.claim(["each"], 100)).map(({ message }) => message);
    while (claimed.length > 0) {
      const reports = claimed.map(({ taskExecution, token }) => {
        const output = fromJson(ValueSchema, taskExecution!.iteration! * 2);
        return { id: taskExecution!.id, token, result: { case: "completed", value: { output } } as const };
      });
      const claim = { executors: ["each"], maxTaskExecutions: 100, workerId: "w", requestId: randomUUID() };
      ({ claimed } = await fleet.client.reportTaskExecutions({ reports, claim }));
    }
    const [sum] = await fleet.claim(["sum"]);
    expect(sum!.input).toEqual(Array.from({ length: 5000 }, (_, n) => n * 2));
    await fleet.complete(sum!);
    const { tasks, total } = await fleet.runs.getFlowExecutionSummary({ id: run.id });
    expect(tasks.map(({ taskName, counts }) => [taskName, counts!.completed])).toEqual([
      ["each", 5000],
      ["sum", 1],
    ]);
    expect(total!.completed).toBe(5001);
  });
});

const knownLoop = [
  { name: "each", dependsOn: [], isLoop: true, mayFail: false },
  { name: "sum", dependsOn: ["each"], isLoop: false, mayFail: false },
];
