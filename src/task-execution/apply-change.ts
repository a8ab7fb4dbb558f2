import { Conflict_Verdict as Verdict } from "../../gen/taskledger/v1/error_details_pb.ts";
import { LedgerError, notFound } from "../errors.ts";
import type { Change, ChangeResult, Report, TaskRecord } from "./changes.ts";
import { conflict, leaseHeld } from "./conflict.ts";
import { type Decision, decideAmendment, decideReport, decideStep, timesOf } from "./decide.ts";
import type { Engine, EngineChange } from "./engine.ts";
import { newRecord } from "./new-record.ts";
import { isClosed, type RunRecord } from "./run-statements.ts";
import { decideTagging } from "./tagging.ts";
import { type Suggest, unknownTask } from "./unknown-task.ts";
import type { Workspace } from "./workspace.ts";

/** What deciding a change takes from outside. */
interface ApplyDeps {
  readonly suggest: Suggest;
  readonly engine: Engine;
}

/**
 * Applies one change to the records of a transaction, as the changes before left them.
 *
 * @throws LedgerError why it is refused; then it changed nothing, but for a result that is kept as late
 */
export async function applyChange(
  work: Workspace,
  change: Change,
  { suggest, engine }: ApplyDeps,
): Promise<ChangeResult> {
  const record = work.find(change);
  switch (change.type) {
    case "work":
    case "expire":
    case "adopt":
      return engine.apply(work, record, change);
    case "report":
      if (record === undefined) {
        return { record: await create(work, change, suggest), outcome: "created" };
      }
      break;
    case "amend":
      if (record !== undefined) return amend(work, record, change, engine);
  }
  return applyToRecord(work, require(record), change);
}

function require(record: TaskRecord | undefined): TaskRecord {
  if (record === undefined) {
    throw notFound("task execution");
  }
  return record;
}

async function create(work: Workspace, report: Report, suggest: Suggest): Promise<TaskRecord> {
  const run = work.run(report.flowExecutionId);
  if (run === undefined) {
    throw notFound("flow execution");
  }
  const { tasks } = await work.planOf(run);
  if (!tasks.has(report.taskName)) {
    throw unknownTask(report.taskName, suggest(report.taskName, tasks));
  }
  if (isClosed(run)) {
    throw new LedgerError(
      "FLOW_EXECUTION_CLOSED",
      `the flow execution is ${run.status} and takes no new task executions`,
      { metadata: { status: run.status } },
    );
  }
  expectExternal(run);
  const { startTime, endTime } = timesOf(report, work.now);
  const record = newRecord(work, run, {
    taskName: report.taskName,
    taskExecutionIdx: report.taskExecutionIdx,
    status: report.status,
    startTime,
    endTime,
    input: report.payloads.input ?? null,
    output: report.payloads.output ?? null,
    error: report.payloads.error ?? null,
  });
  work.add(record, Object.keys(report.payloads));
  return { ...record };
}

/** Refuses a report about a run that makes its records itself. */
export function expectExternal({ dispatch }: RunRecord): void {
  if (dispatch !== "external") {
    throw new LedgerError(
      "DISPATCH_MISMATCH",
      "the flow execution is managed: it makes its task executions itself, and workers claim them",
      { metadata: { dispatch } },
    );
  }
}

type Plain = Exclude<Change, EngineChange>;

function applyToRecord(work: Workspace, record: TaskRecord, change: Plain): ChangeResult {
  const decision = decide(record, change, work);
  if (decision === undefined) {
    return { record: { ...record }, outcome: "unchanged" };
  }
  const run = work.run(record.flowExecutionId);
  if (change.type !== "tag" && (run === undefined || isClosed(run))) {
    throw conflict(
      "FLOW_EXECUTION_CLOSED",
      `the flow execution is ${run?.status} and its task executions are not changed any more`,
      record,
      Verdict.STOP,
    );
  }
  work.change(record, decision, "reason" in change ? { reason: change.reason } : {});
  return { record: { ...record }, outcome: "updated" };
}

function decide(record: TaskRecord, change: Plain, work: Workspace): Decision | undefined {
  switch (change.type) {
    case "report": {
      const decision = decideReport(record, change, work.now);
      if (decision === undefined) return undefined;
      if (record.leaseToken !== null && record.status === "running") throw leaseHeld(record);
      expectExternal(work.run(record.flowExecutionId)!);
      return decision;
    }
    case "amend":
      return decideAmendment(record, change);
    case "tag":
      return decideTagging(record, change);
    default:
      return decideStep(record, change, work.now);
  }
}

/** Amends a record, and marks what was made from an output that it changes. */
async function amend(
  work: Workspace,
  record: TaskRecord,
  change: Extract<Change, { type: "amend" }>,
  engine: Engine,
): Promise<ChangeResult> {
  const run = work.run(record.flowExecutionId)!;
  if (change.executeFlow && run.dispatch !== "managed") {
    throw new LedgerError(
      "DISPATCH_MISMATCH",
      "execute_flow: an outside engine runs the tasks of this flow execution; ask it to",
      { metadata: { dispatch: run.dispatch } },
    );
  }
  const result = applyToRecord(work, record, change);
  if (!("outcome" in result) || result.outcome === "unchanged" || change.payloads.output === undefined) {
    return result;
  }
  const outdated = await engine.outdate(work, run, record, change.executeFlow);
  return { ...result, outdated: outdated.map((stale) => ({ ...stale })) };
}
