import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReExecuteFlowExecutionRequest_Scope as Scope } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { outcomeOf } from "../client.ts";
import { type Fleet, jsonOf, type ManagedRun, openFleet } from "../dispatch/fleet.ts";

describe("a re-execution", () => {
  let fleet: Fleet;
  let neighbour: Fleet;
  beforeAll(async () => {
    fleet = await openFleet();
    neighbour = await openFleet(fleet.database);
  });
  afterAll(() => fleet.close());

  const reExecute = (run: ManagedRun, scope: Scope, more: { taskName?: string; flowVersion?: number } = {}) =>
    fleet.runs.reExecuteFlowExecution({ id: run.id, scope, requestId: randomUUID(), ...more });
  const finish = async (name: string, output: string | number | string[]) => {
    const [task] = await fleet.claim([name]);
    expect(await fleet.complete(task!, output)).toBe("UPDATED");
    return task!;
  };
  /** Gives the flow of a run a second version. */
  async function redefine(run: ManagedRun, change: (definition: string) => string): Promise<void> {
    const { flow } = await fleet.flows.getFlow({ lookup: { case: "id", value: run.flowId } });
    const definition = change(flow!.definition);
    await fleet.flows.updateFlow({ id: run.flowId, etag: flow!.etag, definition });
  }

  test("runs a task whose only record was deleted, and what comes after it", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}, {name: b, depends_on: [a]}]");
    await fleet.tasks.deleteTaskExecution({ id: (await run.get("a")).id });
    expect(await run.status()).toBe("CANCELLED");
    expect((await reExecute(run, Scope.ALL)).taskNames).toEqual(["a", "b"]);
    expect(await finish("a", 1)).toMatchObject({ idx: 1 });
    await finish("b", 1);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("is not forgotten when the record of a task that it waits for is deleted", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}, {name: b, depends_on: [a]}]");
    await finish("a", 1);
    await finish("b", 1);
    await reExecute(run, Scope.ALL);
    await fleet.tasks.deleteTaskExecution({ id: (await run.get("b")).id });
    await finish("a", 2);
    expect(await finish("b", 2)).toMatchObject({ idx: 1 });
    expect(await run.status()).toBe("COMPLETED");
  });

  test("does not list a task that cannot run, because something else before it failed", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: a}
      - {name: broken}
      - {name: both, depends_on: [a, broken]}`);
    await finish("a", 1);
    const [broken] = await fleet.claim(["broken"]);
    await fleet.fail(broken!, "Boom");
    // As far as can be said: broken has failed, and it is not asked for.
    expect(await outcomeOf(reExecute(run, Scope.FROM_TASK, { taskName: "a" }))).toBe(
      "UPSTREAM_NOT_COMPLETED",
    );
    expect((await reExecute(run, Scope.STALE)).taskNames).toEqual([]);
    expect((await reExecute(run, Scope.FAILED)).taskNames).toEqual(["broken", "both"]);
    await finish("broken", 1);
    await finish("both", 1);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("lists what another version adds, wherever it stands", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}, {name: b}]");
    await finish("a", 1);
    await finish("b", 1);
    await redefine(run, (text) =>
      text.replace("tasks: [", "tasks: [{name: apart}, {name: then, depends_on: [apart]}, "),
    );
    const { taskNames } = await reExecute(run, Scope.FROM_TASK, { taskName: "a", flowVersion: 2 });
    expect(taskNames).toEqual(["apart", "a", "then"]);
    for (const name of taskNames) await finish(name, 2);
    expect(await fleet.claim(["apart", "then", "a", "b"])).toEqual([]);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("in another version asks failed items of a loop what that version says", async () => {
    const run = await fleet.start(
      `
      tasks:
      - {name: each, for_each: "{{input}}", input: "{{item.id}}"}`,
      [{ id: 1 }, { key: 2 }],
    );
    // The second item has no id: it could not even be asked.
    await finish("each", "one");
    expect((await run.get("each", 1)).error).toMatchObject({ type: "InvalidInput" });
    expect(await run.status()).toBe("FAILED");
    await redefine(run, (text) => text.replace("{{item.id}}", "{{item}}"));
    await reExecute(run, Scope.FAILED, { flowVersion: 2 });
    const items = await fleet.claim(["each"], 10);
    expect(items.map(({ input, iteration }) => [input, iteration])).toEqual([[{ key: 2 }, 1]]);
    await fleet.complete(items[0]!);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("never asks a worker for an item that could not be made", async () => {
    const run = await fleet.start(
      `
      tasks:
      - {name: each, for_each: "{{input}}", input: "{{item.id}}"}`,
      [{ id: 1 }, { key: 2 }],
    );
    await finish("each", "one");
    await reExecute(run, Scope.FAILED);
    expect(await fleet.claim(["each"], 10)).toEqual([]);
    expect(await run.tasks()).toEqual(["each/0 COMPLETED", "each/1 FAILED", "each/2 FAILED"]);
    expect(await run.status()).toBe("FAILED");
  });

  test("gives on the list of a loop that another version makes a single task, and the other way round", async () => {
    const run = await fleet.start(
      `
      tasks:
      - {name: each, for_each: "{{input}}"}
      - {name: one}
      - {name: sum, input: {each: "{{each.output}}", one: "{{one.output}}"}}`,
      ["x", "y"],
    );
    for (const item of await fleet.claim(["each"], 10)) await fleet.complete(item, `${item.input} done`);
    await finish("one", "single");
    await finish("sum", 1);
    await redefine(run, (text) =>
      text
        .replace(', for_each: "{{input}}"}', "}")
        .replace("{name: one}", '{name: one, for_each: "{{input}}"}'),
    );
    await reExecute(run, Scope.FROM_TASK, { taskName: "sum", flowVersion: 2 });
    expect((await finish("sum", 2)).input).toEqual({ each: ["x done", "y done"], one: "single" });
  });

  test("of a failure that was tolerated outdates what came after it", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: optional, on_failure: continue}
      - {name: after, depends_on: [optional]}
      - {name: aside}`);
    const [optional] = await fleet.claim(["optional"]);
    await fleet.fail(optional!, "Boom");
    await finish("after", "without");
    await finish("aside", 1);
    expect(await run.status()).toBe("COMPLETED");
    expect((await reExecute(run, Scope.FAILED)).taskNames).toEqual(["optional"]);
    await finish("optional", 1);
    expect(await run.tasks()).toEqual([
      "after/0 STALE",
      "aside/0 COMPLETED",
      "optional/0 FAILED",
      "optional/1 COMPLETED",
    ]);
    expect((await reExecute(run, Scope.STALE)).taskNames).toEqual(["after"]);
    await finish("after", "with");
    expect(await run.status()).toBe("COMPLETED");
  });

  test("lets a cancelled run go on with what it never began", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}, {name: b, input: '{{a.output}}'}]");
    const [a] = await fleet.claim(["a"]);
    await fleet.runs.cancelFlowExecution({ id: run.id });
    expect(await fleet.complete(a!, "kept")).toBe("UPDATED");
    expect(await fleet.claim(["b"])).toEqual([]);
    expect((await reExecute(run, Scope.FAILED)).taskNames).toEqual(["b"]);
    expect((await finish("b", 1)).input).toBe("kept");
    expect(await run.status()).toBe("COMPLETED");
  });

  test("under its request id happens once, and no other may use the id", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}]");
    await finish("a", 1);
    const request = { id: run.id, scope: Scope.ALL, requestId: "once" };
    const answers = await Promise.all([1, 2, 3].map(() => fleet.runs.reExecuteFlowExecution(request)));
    expect(answers.map(({ taskNames }) => taskNames)).toEqual([["a"], ["a"], ["a"]]);
    expect(await run.tasks()).toEqual(["a/0 COMPLETED", "a/1 QUEUED"]);
    expect(await outcomeOf(fleet.runs.reExecuteFlowExecution({ ...request, scope: Scope.STALE }))).toBe(
      "REQUEST_ID_REUSED",
    );
    await finish("a", 2);
    expect(jsonOf((await run.get("a", 0)).output)).toBe(1);
  });

  test("of another organization's run, or of one that is deleted or run elsewhere, is refused", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}]");
    await finish("a", 1);
    const request = { id: run.id, scope: Scope.ALL, requestId: randomUUID() };
    expect(await outcomeOf(neighbour.runs.reExecuteFlowExecution(request))).toBe("NOT_FOUND");
    expect(await outcomeOf(fleet.runs.reExecuteFlowExecution({ ...request, flowVersion: 2 }))).toBe(
      "NOT_FOUND",
    );
    expect(await outcomeOf(fleet.runs.reExecuteFlowExecution({ ...request, etag: "999" }))).toBe(
      "ETAG_OUT_OF_DATE",
    );
    await fleet.runs.deleteFlowExecution({ id: run.id });
    expect(await outcomeOf(fleet.runs.reExecuteFlowExecution(request))).toBe("RECORD_DELETED");
    await fleet.runs.undeleteFlowExecution({ id: run.id });
    expect(await run.tasks()).toEqual(["a/0 COMPLETED"]);
  });
});
