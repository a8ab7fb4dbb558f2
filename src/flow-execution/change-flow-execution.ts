import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { LedgerError, notFound } from "../errors.ts";
import type { Author, Step } from "../task-execution/changes.ts";
import { decideStep } from "../task-execution/decide.ts";
import type { RunRecord } from "../task-execution/run-statements.ts";
import { isEnded } from "../task-execution/run-status.ts";
import type { Workspace } from "../task-execution/workspace.ts";
import type { WritePath } from "../task-execution/write-path.ts";
import { hideRun, showRun } from "./hide-statements.ts";

/** A change of a run that a person asks for. An empty etag means: whatever it is now. */
export type RunStep = Step;

/**
 * Cancels, deletes or undeletes a run. Taking a step twice is the same as once.
 *
 * Cancelling cancels the open task executions in the same transaction, but for those that a worker holds,
 * which is asked to stop; deleting leaves them as they are, hidden with their run.
 *
 * @throws LedgerError NOT_FOUND; RECORD_DELETED or ILLEGAL_TRANSITION when cancelling one that is deleted or
 * has ended; ETAG_OUT_OF_DATE
 */
export async function changeFlowExecution(
  writePath: WritePath,
  em: EntityManager,
  author: Author,
  step: RunStep,
): Promise<void> {
  await writePath.transact(em, author, async (work) => {
    await work.load([], [step.id]);
    const run = requireRun(work, step.id);
    if (isDone(run, step)) {
      return;
    }
    expectAllowed(run, step);
    if (step.type === "cancel") {
      await cancelTasks(work, run, step);
    } else if (run.dispatch === "managed") {
      const change = step.type === "delete" ? hideRun : showRun;
      await change(work.em, work.organizationId, run.id, await work.planOf(run));
    }
    work.changeRun(run, step.type, step.reason, (target) => {
      if (step.type === "cancel") target.cancelTime = work.now;
      else target.deleteTime = step.type === "delete" ? work.now : null;
    });
    if (step.type === "undelete") {
      const { tasks } = await work.planOf(run);
      work.nudge(run, tasks.keys());
      if (run.dispatch === "managed") work.announce([...tasks.values()].map(({ executor }) => executor));
    }
  });
}

/** Returns a locked run. */
export function requireRun(work: Workspace, id: string): RunRecord {
  const run = work.run(id);
  if (run === undefined) {
    throw notFound("flow execution");
  }
  return run;
}

/** Refuses a change of a run that has changed since it was read. */
export function expectRunEtag(run: RunRecord, etag: string): void {
  if (etag !== "" && etag !== String(run.etag)) {
    throw new LedgerError(
      "ETAG_OUT_OF_DATE",
      "the flow execution has changed since you read it; read it again",
      { metadata: { status: run.status } },
    );
  }
}

function isDone({ deleteTime, status }: RunRecord, { type }: RunStep): boolean {
  if (type === "cancel") return status === "cancelled";
  return (deleteTime !== null) === (type === "delete");
}

function expectAllowed(run: RunRecord, { type, etag }: RunStep): void {
  const metadata = { status: run.status };
  if (type === "cancel" && run.status === "deleted") {
    throw runDeleted(run);
  }
  if (type === "cancel" && isEnded(run.status)) {
    throw new LedgerError("ILLEGAL_TRANSITION", `cannot cancel the flow execution: it is ${run.status}`, {
      metadata: { ...metadata, event: type },
    });
  }
  expectRunEtag(run, etag);
}

/** Returns the error for a run that is deleted. */
export function runDeleted({ status }: RunRecord): LedgerError {
  const metadata = { status };
  return new LedgerError("RECORD_DELETED", "the flow execution is deleted; undelete it first", { metadata });
}

async function cancelTasks(work: Workspace, run: RunRecord, { reason }: RunStep): Promise<void> {
  const open = await findOpenTasks(work.em, work.organizationId, run.id);
  const cancels = open.map((id) => ({ type: "cancel" as const, id, etag: "", reason }));
  await work.load(cancels);
  for (const cancel of cancels) {
    const record = work.find(cancel)!;
    const decision = decideStep(record, cancel, work.now);
    if (decision !== undefined) {
      work.change(record, decision, { reason });
    }
  }
}

async function findOpenTasks(em: EntityManager, organizationId: string, runId: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id
    from task_execution
    where organization_id = ${organizationId} and flow_execution_id = ${runId}::uuid
      and status in ('queued', 'running')
    order by id
  `.execute(em.getKysely());
  return rows.map(({ id }) => id);
}
