import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { inTransaction } from "../db/transaction.ts";
import { LedgerError, notFound } from "../errors.ts";
import type { Author, Step } from "../task-execution/changes.ts";
import { decideStep } from "../task-execution/decide.ts";
import { Workspace } from "../task-execution/workspace.ts";
import { lockRuns, type RunRecord } from "../task-execution/write-statements.ts";
import { isEnded } from "./flow-status.ts";

/** A change of a run that a person asks for. An empty etag means: whatever it is now. */
export type RunStep = Step;

/**
 * Cancels, deletes or undeletes a run. Taking a step twice is the same as once.
 *
 * Cancelling cancels the open task executions in the same transaction; deleting leaves them as they are,
 * hidden with their run.
 *
 * @throws LedgerError NOT_FOUND; RECORD_DELETED or ILLEGAL_TRANSITION when cancelling one that is deleted or
 * has ended; ETAG_OUT_OF_DATE
 */
export async function changeFlowExecution(
  em: EntityManager,
  author: Author,
  now: () => Date,
  step: RunStep,
): Promise<void> {
  await inTransaction(em, async (tx) => {
    const { organizationId } = author.caller;
    const run = (await lockRuns(tx, organizationId, [step.id])).get(step.id);
    if (run === undefined) {
      throw notFound("flow execution");
    }
    if (isDone(run, step)) {
      return;
    }
    expectAllowed(run, step);
    const open = step.type === "cancel" ? await findOpenTasks(tx, organizationId, run.id) : [];
    const cancels = open.map((id) => ({ type: "cancel" as const, id, etag: "", reason: step.reason }));
    const work = await Workspace.open(tx, author, now(), cancels, [run.id]);
    for (const cancel of cancels) {
      const record = work.find(cancel)!;
      const decision = decideStep(record, cancel, work.now);
      if (decision !== undefined) {
        work.change(record, decision, cancel.reason);
      }
    }
    work.changeRun(work.run(run.id)!, step.type, step.reason, (target) => {
      if (step.type === "cancel") target.cancelTime = work.now;
      else target.deleteTime = step.type === "delete" ? work.now : null;
    });
    await work.write();
  });
}

function isDone({ deleteTime, status }: RunRecord, { type }: RunStep): boolean {
  if (type === "cancel") return status === "cancelled";
  return (deleteTime !== null) === (type === "delete");
}

function expectAllowed(run: RunRecord, { type, etag }: RunStep): void {
  const metadata = { status: run.status };
  if (type === "cancel" && run.status === "deleted") {
    throw new LedgerError("RECORD_DELETED", "the flow execution is deleted; undelete it first", { metadata });
  }
  if (type === "cancel" && isEnded(run.status)) {
    throw new LedgerError("ILLEGAL_TRANSITION", `cannot cancel the flow execution: it is ${run.status}`, {
      metadata: { ...metadata, event: type },
    });
  }
  if (etag !== "" && etag !== String(run.etag)) {
    throw new LedgerError(
      "ETAG_OUT_OF_DATE",
      "the flow execution has changed since you read it; read it again",
      {
        metadata,
      },
    );
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
