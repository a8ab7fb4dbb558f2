import { Conflict_Verdict as Verdict } from "../../gen/taskledger/v1/error_details_pb.ts";
import type { LedgerError } from "../errors.ts";
import type { Adoption, ChangeResult, TaskRecord } from "../task-execution/changes.ts";
import { conflict, nameOf } from "../task-execution/conflict.ts";
import { decideStep, deleted } from "../task-execution/decide.ts";
import { newRecord } from "../task-execution/new-record.ts";
import { isClosed } from "../task-execution/run-statements.ts";
import type { Workspace } from "../task-execution/workspace.ts";
import { findLateResult, markAdopted } from "./late-result-statements.ts";
import { findItem, outdate } from "./outdate.ts";

/**
 * Makes a result that came too late the output of its task: as a new record, because an ended one stays as it is.
 *
 * What went on without it is out of date then.
 *
 * @throws LedgerError NOTHING_TO_ADOPT, RECORD_DELETED or FLOW_EXECUTION_CLOSED
 */
export async function adopt(
  work: Workspace,
  record: TaskRecord,
  { reason }: Adoption,
): Promise<ChangeResult> {
  const { em, organizationId } = work;
  const late = await findLateResult(em, organizationId, record.id);
  if (late === undefined || late.status !== "completed") {
    throw refused(record, `${nameOf(record)} has no late output`);
  }
  const run = work.run(record.flowExecutionId)!;
  const newer = await findItem(work, run, record);
  if (late.adoptedId !== null) {
    const adopted = newer.find(({ id }) => id === late.adoptedId);
    if (adopted !== undefined) return { record: { ...adopted }, outcome: "unchanged" };
  }
  if (isClosed(run)) {
    throw conflict("FLOW_EXECUTION_CLOSED", `the flow execution is ${run.status}`, record, Verdict.STOP);
  }
  if (record.status === "deleted") {
    throw deleted(record);
  }
  const done = [record, ...newer].find(({ status }) => status === "completed" || status === "stale");
  if (done !== undefined) {
    throw refused(record, `${nameOf(done)} is ${done.status}`);
  }
  for (const open of newer) {
    const step = { type: "cancel", id: open.id, etag: "", reason } as const;
    // A worker that holds the attempt finds its lease lost: the result is there.
    const decision =
      open.status === "queued" || open.status === "running"
        ? decideStep({ ...open, leaseToken: null }, step, work.now)
        : undefined;
    if (decision !== undefined) work.change(open, decision, { reason, causeId: record.id });
  }
  await work.flush();
  const { taskName, attempt, interruptions, iteration, generation, executor, claimRank, startTime } = record;
  const adopted = newRecord(work, run, {
    taskName,
    taskExecutionIdx: await work.nextIdx(run, taskName),
    status: "completed",
    output: late.output,
    startTime,
    endTime: work.now,
    attempt,
    interruptions,
    iteration,
    generation,
    executor,
    claimRank,
  });
  work.add(adopted, late.output === null ? [] : ["output"], { type: "adopt", reason, causeId: record.id });
  await work.flush();
  await markAdopted(em, organizationId, record.id, adopted.id);
  await outdate(work, run, adopted, false);
  return { record: { ...adopted }, outcome: "created" };
}

function refused(record: TaskRecord, message: string): LedgerError {
  return conflict("NOTHING_TO_ADOPT", message, record, Verdict.STOP);
}
