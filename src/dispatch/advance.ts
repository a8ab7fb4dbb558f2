import type { FlowPlan } from "../flow/flow-plan.ts";
import type { TaskDefinition } from "../flow/task-definition.ts";
import { isOpen } from "../task-execution/lifecycle.ts";
import { newRecord } from "../task-execution/new-record.ts";
import { isClosed, type RunRecord } from "../task-execution/run-statements.ts";
import type { TaskState } from "../task-execution/task-state-statements.ts";
import type { Workspace } from "../task-execution/workspace.ts";
import { clearRerun } from "./rerun-statements.ts";
import { createResolver, type Expansion, type Resolved } from "./resolve-inputs.ts";

/** How many bytes of new inputs wait to be stored at most, about: more are stored in several statements. */
const flushBytes = 8 * 1_048_576;

/**
 * Lets managed runs go on: makes the records of every task that has become ready.
 *
 * A task is ready when all it depends on has completed, or failed and may, and it has no record yet or is to be
 * executed anew. It happens in the transaction that makes it ready, so that no run is ever left behind. A task
 * may end at once, because its list is empty or its input cannot be made, and make others ready.
 */
export async function advance(work: Workspace): Promise<void> {
  await work.flush();
  for (let moved = work.takeMoved(); moved.size > 0; moved = work.takeMoved()) {
    for (const [runId, { names, author }] of moved) {
      const run = work.run(runId);
      if (run?.dispatch === "managed" && !isClosed(run)) {
        work.actAs(author);
        await advanceRun(work, run, names);
      }
    }
    await work.flush();
  }
}

async function advanceRun(work: Workspace, run: RunRecord, moved: ReadonlySet<string>): Promise<void> {
  const plan = await work.planOf(run);
  const tasks = findCandidates(run, plan, moved);
  if (tasks.length === 0) {
    return;
  }
  const names = new Set(tasks.flatMap(({ name, dependsOn }) => [name, ...dependsOn]));
  const states = await work.statesOf(run, names);
  const ready = tasks.filter(
    ({ name, dependsOn }) =>
      isDue(states.get(name)) &&
      dependsOn.every((upstream) => isSatisfied(states.get(upstream), plan.tasks.get(upstream))),
  );
  if (ready.length === 0) {
    return;
  }
  const anew = ready.filter(({ name }) => states.get(name)?.rerun).map(({ name }) => name);
  if (anew.length > 0) await clearRerun(work, run, anew);
  const expand = await createResolver(work, run, ready);
  let bytes = 0;
  for (const task of ready) {
    bytes += addRecords(work, run, task, states.get(task.name), expand(task));
    if (bytes > flushBytes) {
      await work.flush();
      bytes = 0;
    }
  }
}

/** Returns the tasks that may have become ready, and for which enough tasks of the run have completed. */
function findCandidates(run: RunRecord, plan: FlowPlan, moved: ReadonlySet<string>): TaskDefinition[] {
  const settled = run.counts.completed + run.tolerated;
  const names = new Set([...moved, ...[...moved].flatMap((name) => plan.dependentsOf(name))]);
  return [...names]
    .map((name) => plan.tasks.get(name))
    .filter((task) => task !== undefined && task.dependsOn.length <= settled) as TaskDefinition[];
}

/** Reports whether a task is to be executed as soon as what comes before it has completed. */
export function isDue(state: TaskState | undefined): boolean {
  if (state === undefined || state.nextIdx === 0) {
    return true;
  }
  return state.rerun && (state.status === undefined || !isOpen(state.status));
}

/** Reports whether what comes after a task may run, as far as this task is concerned. */
export function isSatisfied(state: TaskState | undefined, task: TaskDefinition | undefined): boolean {
  if (state === undefined || state.rerun) {
    return false;
  }
  return state.status === "completed" || (state.status === "failed" && task?.onFailure === "continue");
}

/** Adds the records of a task that is ready, and returns how many bytes their inputs have. */
function addRecords(
  work: Workspace,
  run: RunRecord,
  task: TaskDefinition,
  state: TaskState | undefined,
  expansion: Expansion,
): number {
  const firstIdx = state?.nextIdx ?? 0;
  const common = {
    taskName: task.name,
    generation: firstIdx === 0 ? 0 : (state?.generation ?? 0) + 1,
    executor: task.executor,
    claimRank: -run.priority,
  };
  if (expansion.kind === "loop" && expansion.items.length === 0) {
    const done = { status: "completed", output: "[]", startTime: work.now, endTime: work.now } as const;
    work.add(newRecord(work, run, { ...common, taskExecutionIdx: firstIdx, ...done }), ["output"]);
    return 0;
  }
  const items = expansion.kind === "loop" ? expansion.items : [expansion];
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    const key = { taskExecutionIdx: firstIdx + index, iteration: expansion.kind === "loop" ? index : null };
    bytes += "input" in item ? (item.input?.length ?? 0) : 0;
    addResolved(work, run, { ...common, ...key }, item);
  }
  return bytes;
}

/** Adds a record that can be claimed, or has failed already because what to ask cannot be said. */
export function addResolved(
  work: Workspace,
  run: RunRecord,
  given: Omit<Parameters<typeof newRecord>[2], "status">,
  resolved: Resolved,
  because: { readonly causeId?: string } = {},
): void {
  if ("error" in resolved) {
    const failed = { status: "failed", error: resolved.error, endTime: work.now } as const;
    work.add(newRecord(work, run, { ...given, ...failed }), ["error"], because);
  } else {
    const queued = { status: "queued", input: resolved.input } as const;
    work.add(
      newRecord(work, run, { ...given, ...queued }),
      resolved.input === null ? [] : ["input"],
      because,
    );
  }
}
