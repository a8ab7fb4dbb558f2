import { sql } from "kysely";
import type { FlowPlan } from "../flow/flow-plan.ts";
import type { TaskRecord } from "../task-execution/changes.ts";
import { decideOutdate, decideStep } from "../task-execution/decide.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import { findByIds, findWithInput } from "../task-execution/record-statements.ts";
import type { RunRecord } from "../task-execution/run-statements.ts";
import type { Workspace } from "../task-execution/workspace.ts";
import { isSatisfied } from "./advance.ts";
import { markRerun } from "./rerun-statements.ts";
import { createResolver } from "./resolve-inputs.ts";

/** Why records are out of date, and the record whose change caused it, if it was one. */
interface Because {
  readonly reason: string;
  readonly causeId?: string;
}

/** What the outdating of records takes into account of each. */
interface Downstream {
  readonly id: string;
  readonly taskName: string;
  readonly status: Status;
  readonly iteration: number | null;
  readonly generation: number;
}

/**
 * Marks what was made from an output that has changed, in the transaction that changes it.
 *
 * Of every task downstream the records that count become stale if they have ended; what is running becomes
 * stale when it ends; what is queued gets its input anew, or is stale from the start if something between is.
 *
 * @param executeFlow whether what became stale is executed anew
 * @returns the records that became stale, upstream before downstream
 */
export async function outdate(
  work: Workspace,
  run: RunRecord,
  cause: TaskRecord,
  executeFlow: boolean,
): Promise<TaskRecord[]> {
  const plan = await work.planOf(run);
  if (!(await counts(work, run, plan, cause))) {
    return [];
  }
  const because = { causeId: cause.id, reason: `the output of ${cause.taskName} changed` };
  return outdateTasks(work, run, plan.downstreamOf([cause.taskName]), because, executeFlow);
}

/** Marks tasks as made from something that has changed, as {@link outdate} does. */
export async function outdateTasks(
  work: Workspace,
  run: RunRecord,
  names: ReadonlySet<string>,
  because: Because,
  executeFlow: boolean,
): Promise<TaskRecord[]> {
  const plan = await work.planOf(run);
  const found = await loadDownstream(work, run, plan, names);
  const outdated = new Set<string>();
  const stale: TaskRecord[] = [];
  const queued: TaskRecord[] = [];
  for (const record of found) {
    const decision = decideOutdate(record);
    if (decision !== undefined) {
      work.change(record, decision, because);
      stale.push(record);
      outdated.add(record.taskName);
    } else if (record.status === "running") {
      work.outdateOnEnd(record);
      outdated.add(record.taskName);
    } else if (record.status === "queued" && run.dispatch === "managed") {
      queued.push(record);
    }
  }
  await work.flush();
  for (const name of await resolveAnew(work, run, plan, queued, because)) outdated.add(name);
  if (executeFlow) {
    await markRerun(work, run, [...outdated]);
    work.nudge(run, outdated);
  }
  const order = new Map(plan.sort(names).map((name, index) => [name, index]));
  return stale.sort(
    (a, b) => order.get(a.taskName)! - order.get(b.taskName)! || a.taskExecutionIdx - b.taskExecutionIdx,
  );
}

/** Reports whether a record is one of those that others are made from. */
async function counts(work: Workspace, run: RunRecord, plan: FlowPlan, record: TaskRecord): Promise<boolean> {
  const newest = await findCountingRecords(work, run, plan, [record.taskName]);
  return newest.some(({ id }) => id === record.id);
}

async function loadDownstream(
  work: Workspace,
  run: RunRecord,
  plan: FlowPlan,
  names: ReadonlySet<string>,
): Promise<TaskRecord[]> {
  const counting = await findCountingRecords(work, run, plan, [...names]);
  const lengths = { input: [], output: [], error: [] };
  const ids = counting.map(({ id }) => ({ id, lengths }));
  return ids.length === 0 ? [] : work.remember(await findByIds(work.em, work.organizationId, ids));
}

/**
 * Returns the records of tasks that count: the newest, or of a loop that of each item in the last generation.
 *
 * An outside engine does not say which records are retries and which are items: there, all that completed count,
 * and the newest.
 */
export async function findCountingRecords(
  { em, organizationId }: Workspace,
  run: RunRecord,
  plan: FlowPlan,
  names: readonly string[],
): Promise<Downstream[]> {
  const { rows } = await sql<Downstream>`
    select t.id, t.task_name as "taskName", t.status, t.iteration, t.generation
    from task_execution as t
    where t.organization_id = ${organizationId} and t.flow_execution_id = ${run.id}::uuid
      and t.task_name = any(${[...names]}::text[]) and t.status <> 'deleted'
    order by t.task_name, t.task_execution_idx desc
  `.execute(em.getKysely());
  const newest = new Map<string, Downstream>();
  const items = new Set<string>();
  return rows.filter((row) => {
    const first = newest.get(row.taskName) ?? row;
    newest.set(row.taskName, first);
    if (first === row) {
      items.add(`${row.taskName}/${row.iteration}`);
      return true;
    }
    if (run.dispatch === "external") {
      return row.status === "completed";
    }
    const item = `${row.taskName}/${row.iteration}`;
    if (
      plan.tasks.get(row.taskName)?.forEach === undefined ||
      row.generation !== first.generation ||
      items.has(item)
    ) {
      return false;
    }
    items.add(item);
    return true;
  });
}

/** Returns the records of the same task and item as a record that are newer than it, oldest first. */
export async function findItem(work: Workspace, run: RunRecord, record: TaskRecord): Promise<TaskRecord[]> {
  const { rows } = await sql<{ id: string }>`
    select t.id
    from task_execution as t
    where t.organization_id = ${work.organizationId} and t.flow_execution_id = ${run.id}::uuid
      and t.task_name = ${record.taskName} and t.task_execution_idx > ${record.taskExecutionIdx}
      and t.iteration is not distinct from ${record.iteration} and t.status <> 'deleted'
    order by t.task_execution_idx
  `.execute(work.em.getKysely());
  const lengths = { input: [], output: [], error: [] };
  const ids = rows.map(({ id }) => ({ id, lengths }));
  if (ids.length === 0) {
    return [];
  }
  const records = work.remember(await findByIds(work.em, work.organizationId, ids));
  return records.sort((a, b) => a.taskExecutionIdx - b.taskExecutionIdx);
}

/**
 * Gives queued records the input that follows from what has changed.
 *
 * @returns the tasks for which that cannot be said yet: they are made from something that is itself out of date
 */
async function resolveAnew(
  work: Workspace,
  run: RunRecord,
  plan: FlowPlan,
  queued: readonly TaskRecord[],
  because: Because,
): Promise<readonly string[]> {
  if (queued.length === 0) {
    return [];
  }
  const left: string[] = [];
  const tasks = [...new Set(queued.map(({ taskName }) => taskName))].map((name) => plan.tasks.get(name)!);
  const states = await work.statesOf(run, new Set(tasks.flatMap(({ dependsOn }) => dependsOn)));
  const ready = tasks.filter(({ dependsOn }) =>
    dependsOn.every((name) => isSatisfied(states.get(name), plan.tasks.get(name))),
  );
  const expand = await createResolver(work, run, ready);
  const ids = queued.map(({ id }) => id);
  const known = await findWithInput(work.em, work.organizationId, ids);
  const inputs = new Map(known.map(({ id, input }) => [id, input]));
  for (const task of tasks) {
    const records = queued.filter(({ taskName }) => taskName === task.name);
    if (!ready.includes(task)) {
      // It may run, but counts for nothing.
      for (const record of records) work.outdateOnEnd(record);
      left.push(task.name);
      continue;
    }
    const expansion = task.forEach === undefined ? expand(task) : undefined;
    if (expansion?.kind === "task" && "input" in expansion) {
      const { input } = expansion;
      for (const record of records.filter(({ id }) => inputs.get(id) !== input)) {
        work.change(
          record,
          {
            event: "amend",
            changedFields: ["input"],
            apply: (target) => {
              target.input = input;
            },
          },
          because,
        );
      }
      continue;
    }
    // The list may have other items now, or the input cannot be made any more: begin this task anew.
    for (const record of records) {
      const step = { type: "cancel", id: record.id, etag: "", reason: because.reason } as const;
      work.change(record, decideStep(record, step, work.now)!, because);
    }
    await work.flush();
    await markRerun(work, run, [task.name]);
    work.nudge(run, [task.name]);
  }
  return left;
}
