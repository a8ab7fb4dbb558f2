import { randomUUID } from "node:crypto";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReExecuteFlowExecutionRequest_Scope as Scope } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { outcomeOf } from "../client.ts";
import { type Fleet, type Held, type ManagedRun, openFleet } from "./fleet.ts";
import { type KnownTask, openRunCheck, type RunCheck } from "./run-check.ts";
import { sweeperOf } from "./sweeper.ts";

interface Task extends KnownTask {
  readonly attempts: number;
}

/** Up to six tasks; of each the tasks before it that it depends on, and whether it goes through a list. */
const flows: fc.Arbitrary<readonly Task[]> = fc.integer({ min: 1, max: 6 }).chain((size) =>
  fc.tuple(
    ...Array.from({ length: size }, (_, task) =>
      fc.record({
        name: fc.constant(`t${task}`),
        dependsOn: fc.subarray(
          Array.from({ length: task }, (__, other) => `t${other}`),
          { maxLength: Math.min(3, task) },
        ),
        isLoop: fc.boolean(),
        mayFail: fc.boolean(),
        attempts: fc.integer({ min: 1, max: 2 }),
      }),
    ),
  ),
);

/** What may happen to a run; `pick` chooses the record, the task or the worker that it happens to. */
const steps = [
  "claim",
  "claim",
  "complete",
  "complete",
  "fail",
  "confirm the cancel",
  "lose a worker",
  "report late",
  "adopt",
  "cancel a task",
  "delete a task",
  "undelete a task",
  "correct",
  "correct and execute",
  "cancel the run",
  "delete the run",
  "undelete the run",
  "re-execute",
] as const;
type Step = (typeof steps)[number];
const histories = fc.array(fc.record({ step: fc.constantFrom(...steps), pick: fc.nat(1000) }), {
  maxLength: 25,
});
const scopes = [Scope.ALL, Scope.STALE, Scope.FAILED, Scope.FROM_TASK];

// Whatever happens to a run, in whatever order: what its row says follows from its tasks, whatever can run is there
// to be claimed, and with workers that do their work it comes to an end. A run that hangs would stay for ever.
// HISTORIES=1000 plays more of them.
describe("a run to which anything happens", () => {
  let fleet: Fleet;
  let check: RunCheck;
  let sweep: () => Promise<void>;
  beforeAll(async () => {
    fleet = await openFleet();
    check = await openRunCheck(fleet.database);
    sweep = sweeperOf(fleet.database);
  });
  afterAll(async () => {
    await check.close();
    await fleet.close();
  });

  function define(tasks: readonly Task[], executor: string): string {
    const definition = tasks.map(({ name, dependsOn, isLoop, mayFail, attempts }) => ({
      name,
      executor,
      depends_on: dependsOn,
      retry: { max_attempts: attempts, initial_backoff: "1s" },
      on_failure: mayFail ? "continue" : "fail",
      // The list comes from the first task before it, or from the run.
      ...(isLoop && { for_each: dependsOn[0] ? `{{${dependsOn[0]}.output}}` : "{{input}}" }),
    }));
    return `\ntasks: ${JSON.stringify(definition)}`;
  }

  /** Plays the workers until there is nothing left to do; false if that does not come to an end. */
  async function drain(run: ManagedRun, executor: string): Promise<boolean> {
    for (let round = 0; round < 60; round++) {
      await check.hurry(run.id);
      await sweep();
      await check.hurry(run.id);
      const held = await fleet.claim([executor], 100);
      for (const task of held) await fleet.complete(task, [task.idx]);
      if (held.length === 0 && !(await check.rows(run.id)).some(({ status }) => status === "running"))
        return true;
    }
    return false;
  }

  async function play(
    run: ManagedRun,
    tasks: readonly Task[],
    executor: string,
    step: Step,
    pick: number,
    hands: Hands,
  ) {
    const rows = await check.rows(run.id);
    const row = rows[pick % Math.max(1, rows.length)];
    const id = row?.id ?? randomUUID();
    const held = hands.held[pick % Math.max(1, hands.held.length)];
    const lost = hands.lost[pick % Math.max(1, hands.lost.length)];
    switch (step) {
      case "claim":
        await check.hurry(run.id);
        hands.held.push(...(await fleet.claim([executor], 1 + (pick % 3))));
        return;
      case "complete":
        return (
          held && fleet.complete(held, pick % 4 === 0 ? pick : Array.from({ length: pick % 4 }, (_, n) => n))
        );
      case "fail":
        return held && fleet.fail(held, "Boom");
      case "confirm the cancel":
        return held && fleet.report(held, { case: "cancelled", value: {} });
      case "lose a worker":
        await check.hurry(run.id);
        hands.lost.push(...hands.held.splice(0));
        return sweep();
      case "report late":
        return lost && fleet.complete(lost, [pick]);
      case "adopt":
        return lost && outcomeOf(fleet.tasks.adoptLateResult({ id: lost.id }));
      case "cancel a task":
        return outcomeOf(fleet.tasks.cancelTaskExecution({ id }));
      case "delete a task":
        return outcomeOf(fleet.tasks.deleteTaskExecution({ id }));
      case "undelete a task":
        return outcomeOf(fleet.tasks.undeleteTaskExecution({ id }));
      case "correct":
      case "correct and execute": {
        const completed = rows.filter(({ status }) => status === "completed");
        const target = completed[pick % Math.max(1, completed.length)];
        if (target === undefined) return;
        const { taskExecution } = await fleet.tasks.getTaskExecution({
          lookup: { case: "id", value: target.id },
        });
        return outcomeOf(
          fleet.tasks.updateTaskExecution({
            id: target.id,
            etag: taskExecution!.etag,
            updateMask: { paths: ["output"] },
            output: fromJson(
              ValueSchema,
              Array.from({ length: pick % 3 }, () => pick),
            ),
            executeFlow: step === "correct and execute",
          }),
        );
      }
      case "cancel the run":
        return outcomeOf(fleet.runs.cancelFlowExecution({ id: run.id }));
      case "delete the run":
        return outcomeOf(fleet.runs.deleteFlowExecution({ id: run.id }));
      case "undelete the run":
        return outcomeOf(fleet.runs.undeleteFlowExecution({ id: run.id }));
      case "re-execute":
        return outcomeOf(reExecute(run, tasks, pick));
    }
  }

  interface Hands {
    readonly held: Held[];
    readonly lost: Held[];
  }

  function reExecute(run: ManagedRun, tasks: readonly Task[], pick: number, validateOnly = false) {
    const scope = scopes[pick % scopes.length]!;
    const taskName = scope === Scope.FROM_TASK ? tasks[pick % tasks.length]!.name : "";
    return fleet.runs.reExecuteFlowExecution({
      id: run.id,
      scope,
      taskName,
      validateOnly,
      requestId: randomUUID(),
    });
  }

  test("is never left behind, and its row says what it is", { timeout: 600_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(flows, histories, fc.nat(1000), async (tasks, history, last) => {
        const executor = randomUUID();
        const run = await fleet.start(define(tasks, executor), ["x", "y"]);
        const hands: Hands = { held: [], lost: [] };
        for (const { step, pick } of history) {
          await play(run, tasks, executor, step, pick, hands);
          expect(await check.faultsOf(run.id, tasks)).toEqual([]);
        }
        await fleet.runs.undeleteFlowExecution({ id: run.id });
        expect(await drain(run, executor)).toBe(true);
        expect(await check.faultsOf(run.id, tasks)).toEqual([]);
        expect(["COMPLETED", "FAILED", "CANCELLED", "STALE"]).toContain(await run.status());

        // With nothing else going on, a re-execution runs exactly what it says that it would.
        const before = await check.rows(run.id);
        const said = await reExecute(run, tasks, last, true).catch(() => undefined);
        expect(await check.rows(run.id)).toEqual(before);
        const outcome = await reExecute(run, tasks, last).catch(() => undefined);
        expect(outcome?.taskNames).toEqual(said?.taskNames);
        expect(await drain(run, executor)).toBe(true);
        expect(await check.faultsOf(run.id, tasks)).toEqual([]);
        const ids = new Set(before.map(({ id }) => id));
        const ran = new Set(
          (await check.rows(run.id)).filter(({ id }) => !ids.has(id)).map(({ task }) => task),
        );
        expect([...ran].sort()).toEqual([...(said?.taskNames ?? [])].sort());
      }),
      { numRuns: Number(process.env["HISTORIES"] ?? 20) },
    );
  });
});
