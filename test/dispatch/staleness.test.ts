import { randomUUID } from "node:crypto";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { ReExecuteFlowExecutionRequest_Scope as Scope } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { outcomeOf } from "../client.ts";
import { type Fleet, jsonOf, type ManagedRun, openFleet } from "./fleet.ts";

/** For each task, the tasks before it that it depends on. */
type Dag = readonly (readonly number[])[];

const dags: fc.Arbitrary<Dag> = fc
  .integer({ min: 1, max: 14 })
  .chain((size) =>
    fc.tuple(
      ...Array.from({ length: size }, (_, task) =>
        fc.subarray([...Array(task).keys()], { maxLength: Math.min(4, task) }),
      ),
    ),
  );

describe("a corrected output", () => {
  let fleet: Fleet;
  beforeAll(async () => {
    fleet = await openFleet();
  });
  afterAll(() => fleet.close());

  /** Records a run of an outside engine whose tasks have all completed, and returns the ids by task. */
  async function givenCompleted(dag: Dag): Promise<string[]> {
    const tasks = dag.map((upstreams, task) => ({
      name: `t${task}`,
      depends_on: upstreams.map((n) => `t${n}`),
    }));
    const { flow } = await fleet.flows.createFlow({
      definition: JSON.stringify({ name: randomUUID(), tasks }),
    });
    const { flowExecution } = await fleet.runs.createFlowExecution({
      flowId: flow!.id,
      requestId: randomUUID(),
      dispatch: Dispatch.EXTERNAL,
    });
    const ids: string[] = [];
    for (let start = 0; start < tasks.length; start += 1000) {
      const { results } = await fleet.tasks.batchCreateTaskExecutions({
        requests: tasks.slice(start, start + 1000).map(({ name }) => ({
          flowExecutionId: flowExecution!.id,
          taskName: name,
          status: Status.COMPLETED,
          output: fromJson(ValueSchema, 1),
        })),
      });
      ids.push(
        ...results.map(({ result }) => (result.case === "response" ? result.value.taskExecution!.id : "")),
      );
    }
    return ids;
  }

  const correct = (id: string, more: { executeFlow?: boolean; validateOnly?: boolean } = {}, etag = "1") =>
    fleet.tasks.updateTaskExecution({
      id,
      etag,
      updateMask: { paths: ["output"] },
      output: fromJson(ValueSchema, 2),
      ...more,
    });

  /** Follows the edges from one task after the other, as slowly and plainly as can be. */
  function naiveClosure(dag: Dag, from: number): number[] {
    const found = new Set<number>();
    for (let round = 0; round < dag.length; round++) {
      dag.forEach((upstreams, task) => {
        if (upstreams.some((upstream) => upstream === from || found.has(upstream))) found.add(task);
      });
    }
    return [...found].sort((a, b) => a - b);
  }

  test("outdates exactly what comes after it, in 500 random graphs", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(dags, fc.nat(), async (dag, pick) => {
        const from = pick % dag.length;
        const ids = await givenCompleted(dag);
        const { outdated } = await correct(ids[from]!);
        const names = outdated.map(({ taskName }) => Number(taskName.slice(1)));
        expect(names.toSorted((a, b) => a - b)).toEqual(naiveClosure(dag, from));
        // Upstream before downstream.
        for (const [place, task] of names.entries()) {
          expect(dag[task]!.every((upstream) => names.indexOf(upstream) < place)).toBe(true);
        }
        expect(new Set(outdated.map(({ status }) => status))).toEqual(
          new Set(names.length > 0 ? [Status.STALE] : []),
        );
      }),
      { numRuns: 500 },
    );
  });

  test.each<[string, Dag]>([
    ["a chain of 10,000 tasks", Array.from({ length: 10_000 }, (_, task) => (task === 0 ? [] : [task - 1]))],
    ["5,000 tasks after one", Array.from({ length: 5001 }, (_, task) => (task === 0 ? [] : [0]))],
    ["2^30 ways through diamonds", Array.from({ length: 91 }, (_, task) => diamond(task))],
  ])("outdates %s in under two seconds", { timeout: 60_000 }, async (_name, dag) => {
    const ids = await givenCompleted(dag);
    const start = performance.now();
    const { outdated } = await correct(ids[0]!);
    const tookMs = performance.now() - start;
    expect(outdated).toHaveLength(dag.length - 1);
    expect(tookMs).toBeLessThan(2000);
  });

  const chain = `
      tasks:
      - {name: a}
      - {name: b, input: "{{a.output}}"}
      - {name: c, input: "{{b.output}}"}
      - {name: aside}`;
  const finish = async (name: string, output: string) => {
    const [task] = await fleet.claim([name]);
    await fleet.complete(task!, output);
    return task!;
  };

  async function givenChain(): Promise<{ run: ManagedRun; a: string; etag: string }> {
    const run = await fleet.start(chain);
    for (const name of ["a", "b", "c", "aside"]) await finish(name, `${name} 1`);
    const { id, etag } = await run.get("a");
    return { run, a: id, etag };
  }

  test("says what it would outdate, and changes nothing, when it is only to be tried", async () => {
    const { run, a, etag } = await givenChain();
    const { outdated, taskExecution } = await correct(a, { validateOnly: true }, etag);
    expect(outdated.map(({ taskName }) => taskName)).toEqual(["b", "c"]);
    expect(taskExecution!.edited).toBe(true);
    expect((await run.get("a")).etag).toBe(etag);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("leaves its run stale, and each record with the reason and the record that caused it", async () => {
    const { run, a, etag } = await givenChain();
    await correct(a, {}, etag);
    expect(await run.status()).toBe("STALE");
    expect(await run.tasks()).toEqual(["a/0 COMPLETED", "aside/0 COMPLETED", "b/0 STALE", "c/0 STALE"]);
    const { events } = await fleet.tasks.listTaskExecutionEvents({ id: (await run.get("c")).id });
    expect(events.at(-1)).toMatchObject({ type: 6, causedById: a, reason: "the output of a changed" });
    expect(jsonOf((await run.get("c")).output)).toBe("c 1");
  });

  test("leaves its run stale when a task that was running ends, and what comes after it can run anew", async () => {
    const run = await fleet.start(chain);
    const [a] = await fleet.claim(["a"]);
    await fleet.complete(a!, 1);
    const [b] = await fleet.claim(["b"]);
    const [aside] = await fleet.claim(["aside"]);
    await fleet.complete(aside!);
    await correct(a!.id, {}, (await run.get("a")).etag);
    await fleet.complete(b!, "b 1");
    expect(await run.status()).toBe("STALE");
    expect(await run.tasks()).toEqual(["a/0 COMPLETED", "aside/0 COMPLETED", "b/0 STALE"]);
    const { taskNames } = await fleet.runs.reExecuteFlowExecution({
      id: run.id,
      scope: Scope.STALE,
      requestId: randomUUID(),
    });
    expect(taskNames).toEqual(["b", "c"]);
    await finish("b", "b 2");
    await finish("c", "c 2");
    expect(await run.status()).toBe("COMPLETED");
  });

  test("executes anew exactly what became stale, in order, if asked to", async () => {
    const { run, a, etag } = await givenChain();
    await correct(a, { executeFlow: true }, etag);
    expect(await run.status()).toBe("RUNNING");
    const b = await finish("b", "b 2");
    expect(b).toMatchObject({ idx: 1, input: 2 });
    const c = await finish("c", "c 2");
    expect(c).toMatchObject({ idx: 1, input: "b 2" });
    expect(await run.status()).toBe("COMPLETED");
    expect(await fleet.claim(["a", "b", "c", "aside"])).toEqual([]);
    expect(await run.tasks()).toEqual([
      "a/0 COMPLETED",
      "aside/0 COMPLETED",
      "b/0 STALE",
      "b/1 COMPLETED",
      "c/0 STALE",
      "c/1 COMPLETED",
    ]);
  });

  test("gives what is queued its input anew, and outdates what is running when it ends", async () => {
    const run = await fleet.start(
      chain.replace("      - {name: aside}", '      - {name: d, input: "{{a.output}}"}'),
    );
    await finish("a", "a 1");
    const [running] = await fleet.claim(["d"]);
    const { id, etag } = await run.get("a");
    const { outdated } = await correct(id, {}, etag);
    expect(outdated).toEqual([]);
    const [b] = await fleet.claim(["b"]);
    expect(b!.input).toBe(2);
    expect(running!.input).toBe("a 1");
    await fleet.complete(running!, "d 1");
    expect(await run.tasks()).toEqual(["a/0 COMPLETED", "b/0 RUNNING", "d/0 STALE"]);
    await fleet.complete(b!, "b 1");
    await finish("c", "c 1");
    expect(await run.status()).toBe("STALE");
  });

  test("begins a loop anew whose list has changed under items that wait", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: list}
      - {name: each, for_each: "{{list.output}}"}`);
    const [list] = await fleet.claim(["list"]);
    await fleet.complete(list!, ["x", "y"]);
    const { id, etag } = await run.get("list");
    const output = fromJson(ValueSchema, ["p", "q", "r"]);
    await fleet.tasks.updateTaskExecution({ id, etag, updateMask: { paths: ["output"] }, output });
    const items = await fleet.claim(["each"], 10);
    expect(items.map(({ input }) => input)).toEqual(["p", "q", "r"]);
    for (const item of items) await fleet.complete(item);
    expect(await run.status()).toBe("COMPLETED");
  });

  const scopes: [string, Scope, string, string[]][] = [
    ["all", Scope.ALL, "", ["a", "b", "c", "aside"]],
    ["what is stale", Scope.STALE, "", ["b", "c"]],
    ["a task and what comes after", Scope.FROM_TASK, "b", ["b", "c"]],
  ];
  test.each(scopes)("can be followed by a re-execution of %s", async (_name, scope, taskName, want) => {
    const { run, a, etag } = await givenChain();
    await correct(a, {}, etag);
    const request = { id: run.id, scope, taskName, requestId: randomUUID() };
    const tried = await fleet.runs.reExecuteFlowExecution({ ...request, validateOnly: true });
    expect(tried.taskNames.toSorted()).toEqual(want.toSorted());
    expect(await run.status()).toBe("STALE");
    await fleet.runs.reExecuteFlowExecution(request);
    expect((await fleet.runs.reExecuteFlowExecution(request)).taskNames).toEqual(tried.taskNames);
    for (const name of ["a", "b", "c", "aside"]) {
      if (want.includes(name)) expect(await finish(name, `${name} 2`)).toMatchObject({ idx: 1 });
    }
    expect(await run.status()).toBe("COMPLETED");
    expect(await fleet.claim(["a", "b", "c", "aside"])).toEqual([]);
  });

  test("can be followed by a re-execution in another version, whose new tasks run too", async () => {
    const { run } = await givenChain();
    const { flow } = await fleet.flows.getFlow({ lookup: { case: "id", value: run.flowId } });
    const definition = `${flow!.definition}\n- {name: added, depends_on: [c]}`;
    await fleet.flows.updateFlow({ id: run.flowId, etag: flow!.etag, definition });
    const request = {
      id: run.id,
      scope: Scope.FROM_TASK,
      taskName: "c",
      flowVersion: 2,
      requestId: randomUUID(),
    };
    expect((await fleet.runs.reExecuteFlowExecution(request)).taskNames).toEqual(["c", "added"]);
    await finish("c", "c 2");
    await finish("added", "new");
    expect(await run.status()).toBe("COMPLETED");
  });

  test("of what failed runs the failed items of a loop once more, and no others", async () => {
    const run = await fleet.start(
      `
      tasks:
      - {name: each, for_each: "{{input}}"}
      - {name: sum, input: "{{each.output}}"}`,
      ["x", "y", "z"],
    );
    const items = await fleet.claim(["each"], 10);
    await fleet.complete(items[0]!, "X");
    await fleet.fail(items[1]!, "Boom");
    await fleet.complete(items[2]!, "Z");
    expect(await run.status()).toBe("FAILED");
    const request = { id: run.id, scope: Scope.FAILED, requestId: randomUUID() };
    expect((await fleet.runs.reExecuteFlowExecution(request)).taskNames).toEqual(["each", "sum"]);
    const again = await fleet.claim(["each"], 10);
    expect(again.map(({ input, idx }) => [input, idx])).toEqual([["y", 3]]);
    await fleet.complete(again[0]!, "Y");
    const [sum] = await fleet.claim(["sum"]);
    expect(sum!.input).toEqual(["X", "Y", "Z"]);
    await fleet.complete(sum!);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("cannot be followed by a re-execution that makes no sense", async () => {
    const run = await fleet.start(chain);
    const from = (taskName: string) =>
      outcomeOf(
        fleet.runs.reExecuteFlowExecution({
          id: run.id,
          scope: Scope.FROM_TASK,
          taskName,
          requestId: randomUUID(),
        }),
      );
    expect(await from("a")).toBe("TASK_NOT_ENDED");
    expect(await from("aa")).toBe("TASK_NAME_UNKNOWN");
    expect(await from("")).toBe("VALIDATION_FAILED");
    const [a] = await fleet.claim(["a"]);
    await fleet.fail(a!, "Boom");
    await finish("aside", "done");
    expect(await from("c")).toBe("UPSTREAM_NOT_COMPLETED");
    const summary = await fleet.runs.getFlowExecutionSummary({ id: run.id });
    expect(
      summary.tasks.map(({ taskName, counts }) => [taskName, counts!.completed, counts!.failed]),
    ).toEqual([
      ["a", 0, 1],
      ["b", 0, 0],
      ["c", 0, 0],
      ["aside", 1, 0],
    ]);
  });
});

/** Three tasks make a diamond with the end of the one before: 30 of them have 2^30 ways through. */
function diamond(task: number): number[] {
  if (task === 0) return [];
  const end = Math.floor((task - 1) / 3) * 3;
  return task % 3 === 0 ? [task - 2, task - 1] : [end];
}
