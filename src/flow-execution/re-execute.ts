import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { isDue, isSatisfied } from "../dispatch/advance.ts";
import { outdateTasks } from "../dispatch/outdate.ts";
import { markRerun } from "../dispatch/rerun-statements.ts";
import { LedgerError, notFound } from "../errors.ts";
import type { FlowPlan } from "../flow/flow-plan.ts";
import { FlowVersion } from "../flow/flow-version.entity.ts";
import type { Author } from "../task-execution/changes.ts";
import { isOpen } from "../task-execution/lifecycle.ts";
import type { RunRecord } from "../task-execution/run-statements.ts";
import type { TaskState } from "../task-execution/task-state-statements.ts";
import { createSuggest, unknownTask } from "../task-execution/unknown-task.ts";
import type { Workspace } from "../task-execution/workspace.ts";
import type { WritePath } from "../task-execution/write-path.ts";
import { expectRunEtag, requireRun, runDeleted } from "./change-flow-execution.ts";
import { ReExecution } from "./re-execution.entity.ts";
import { retryItems } from "./retry-items.ts";

/** Which tasks of a run are asked for once more. */
export type Scope = "all" | "stale" | "failed" | "from_task";

/** A request to run tasks once more. */
export interface ReExecute {
  readonly id: string;
  readonly scope: Scope;
  /** The task to begin with; empty unless the scope is `from_task`. */
  readonly taskName: string;
  /** The flow version to go on with; 0 for the one that the run has. */
  readonly flowVersion: number;
  readonly etag: string;
  readonly reason: string;
  readonly requestId: string;
  readonly validateOnly: boolean;
}

/**
 * Runs tasks of a managed run once more, as new records, each as soon as its upstreams have completed.
 *
 * @returns the names of the tasks, each after all it depends on
 * @throws LedgerError NOT_FOUND, RECORD_DELETED, DISPATCH_MISMATCH, REQUEST_ID_REUSED, ETAG_OUT_OF_DATE,
 * TASK_NAME_UNKNOWN, TASK_NOT_ENDED or UPSTREAM_NOT_COMPLETED
 */
export function reExecute(
  writePath: WritePath,
  em: EntityManager,
  author: Author,
  request: ReExecute,
): Promise<string[]> {
  return writePath.transact(em, author, (work) => begin(work, request), request.validateOnly);
}

async function begin(work: Workspace, request: ReExecute): Promise<string[]> {
  await work.load([], [request.id]);
  const run = requireRun(work, request.id);
  const before = await findBefore(work, request);
  if (before !== undefined) {
    return before;
  }
  expectAllowed(run, request);
  const isOtherVersion = request.flowVersion !== 0 && request.flowVersion !== run.flowVersion;
  if (isOtherVersion) {
    await requireVersion(work.em, run, request.flowVersion);
    run.flowVersion = request.flowVersion;
  }
  const plan = await work.planOf(run);
  const states = await work.statesOf(run, plan.tasks.keys());
  const chosen = choose(plan, states, request);
  // Of a run that goes on, what comes by itself is not listed; of one that was cancelled, nothing does.
  const goesOn = run.cancelTime === null && !isOtherVersion;
  const listed = listTasks(plan, states, chosen, goesOn);
  expectReady(plan, states, chosen);
  work.changeRun(run, "re_execute", request.reason, (target) => {
    target.cancelTime = null;
    target.endTime = null;
  });
  if (isOtherVersion) await work.recount(run);
  const whole = request.scope === "failed" ? await retryItems(work, run, plan, states, chosen) : chosen;
  const anew = [...whole].filter((name) => !neverRan(states.get(name)));
  await markRerun(work, run, anew);
  await outdateRest(work, run, plan, states, chosen);
  work.nudge(run, plan.tasks.keys());
  await store(work, request, listed);
  return listed;
}

/** Outdates what was made from the tasks that run once more, and does not run itself: a failure was tolerated then. */
async function outdateRest(
  work: Workspace,
  run: RunRecord,
  plan: FlowPlan,
  states: ReadonlyMap<string, TaskState>,
  chosen: ReadonlySet<string>,
): Promise<void> {
  const rest = [...plan.downstreamOf(chosen)].filter((name) => !isDue(states.get(name)));
  if (rest.length > 0) {
    const because = { reason: "what it was made from is executed anew" };
    await outdateTasks(work, run, new Set(rest), because, false);
  }
}

/** Returns what the same request was answered before. */
async function findBefore(work: Workspace, request: ReExecute): Promise<string[] | undefined> {
  const { id: flowExecutionId, requestId } = request;
  const stored = await work.em.findOne(ReExecution, { flowExecutionId, requestId });
  if (stored === null) {
    return undefined;
  }
  if (stored.request !== contentOf(request)) {
    const message = `request_id ${JSON.stringify(requestId)} was used for another re-execution; use a new one`;
    throw new LedgerError("REQUEST_ID_REUSED", message, { metadata: { request_id: requestId } });
  }
  return JSON.parse(stored.taskNames);
}

function contentOf({ scope, taskName, flowVersion }: ReExecute): string {
  return JSON.stringify({ scope, taskName, flowVersion });
}

async function store(work: Workspace, request: ReExecute, listed: readonly string[]): Promise<void> {
  await sql`
    insert into re_execution (organization_id, flow_execution_id, request_id, request, task_names, create_time)
    values (
      ${work.organizationId}, ${request.id}, ${request.requestId}, ${contentOf(request)}, ${JSON.stringify(listed)},
      ${work.now.toISOString()}
    )
  `.execute(work.em.getKysely());
}

function expectAllowed(run: RunRecord, { etag }: ReExecute): void {
  if (run.deleteTime !== null) {
    throw runDeleted(run);
  }
  if (run.dispatch !== "managed") {
    throw new LedgerError(
      "DISPATCH_MISMATCH",
      "an outside engine runs the tasks of this flow execution; ask it to",
      {
        metadata: { dispatch: run.dispatch },
      },
    );
  }
  expectRunEtag(run, etag);
}

async function requireVersion(em: EntityManager, { flowId }: RunRecord, version: number): Promise<void> {
  if ((await em.count(FlowVersion, { flowId, version })) === 0) {
    throw notFound("flow version");
  }
}

/** Returns the names of the tasks that the scope means. */
function choose(
  plan: FlowPlan,
  states: ReadonlyMap<string, TaskState>,
  { scope, taskName }: ReExecute,
): Set<string> {
  const names = [...plan.tasks.keys()];
  const inStatus = (...statuses: readonly (string | undefined)[]) =>
    new Set(names.filter((name) => statuses.includes(states.get(name)?.status)));
  switch (scope) {
    case "all":
      return new Set(names);
    case "stale":
      return inStatus("stale");
    case "failed":
      return inStatus("failed", "cancelled");
    case "from_task":
      if (!plan.tasks.has(taskName)) {
        throw unknownTask(taskName, createSuggest()(taskName, plan.tasks));
      }
      return new Set([taskName, ...plan.downstreamOf([taskName])]);
  }
}

/** Adds what waits and now will run, and sorts: each after all it depends on. */
function listTasks(
  plan: FlowPlan,
  states: ReadonlyMap<string, TaskState>,
  chosen: ReadonlySet<string>,
  goesOn: boolean,
): string[] {
  const anyway = goesOn ? findComing(plan, states, new Set()) : new Set<string>();
  const more = [...findComing(plan, states, chosen)].filter(
    (name) => isDue(states.get(name)) && !anyway.has(name),
  );
  return plan.sort(new Set([...chosen, ...more]));
}

function neverRan(state: TaskState | undefined): boolean {
  return state === undefined || state.nextIdx === 0;
}

function expectReady(
  plan: FlowPlan,
  states: ReadonlyMap<string, TaskState>,
  chosen: ReadonlySet<string>,
): void {
  const comes = findComing(plan, states, chosen);
  for (const name of chosen) {
    const status = states.get(name)?.status;
    if (status !== undefined && isOpen(status)) {
      throw new LedgerError("TASK_NOT_ENDED", `task ${name} has not ended; cancel it first, or wait`, {
        metadata: { task_name: name },
      });
    }
    for (const upstream of plan.tasks.get(name)!.dependsOn) {
      if (!comes.has(upstream)) {
        const state = states.get(upstream)?.status ?? "not there";
        const message = `task ${name} needs ${upstream}, which is ${state} and would not run`;
        throw new LedgerError("UPSTREAM_NOT_COMPLETED", message, { metadata: { task_name: name, upstream } });
      }
    }
  }
}

/** Returns the tasks that have completed or will, as far as can be said: those that are chosen, open, or only wait. */
function findComing(
  plan: FlowPlan,
  states: ReadonlyMap<string, TaskState>,
  chosen: ReadonlySet<string>,
): ReadonlySet<string> {
  const coming = new Set<string>();
  for (const name of plan.sort(plan.tasks.keys())) {
    const state = states.get(name);
    const task = plan.tasks.get(name)!;
    const waits = isDue(state) && task.dependsOn.every((upstream) => coming.has(upstream));
    const isOn = state?.status !== undefined && isOpen(state.status);
    if (chosen.has(name) || waits || isOn || isSatisfied(state, task)) coming.add(name);
  }
  return coming;
}
