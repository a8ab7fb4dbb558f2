import type { EntityManager } from "@mikro-orm/postgresql";
import { Conflict_Verdict as Verdict } from "../../gen/taskledger/v1/error_details_pb.ts";
import { modifiedByOf } from "../auth/modified-by.ts";
import { inTransaction } from "../db/transaction.ts";
import { LedgerError, notFound } from "../errors.ts";
import type { Author, Change, ChangeResult, Report, TaskRecord } from "./changes.ts";
import { conflict } from "./conflict.ts";
import { type Decision, decideAmendment, decideReport, decideStep, timesOf } from "./decide.ts";
import { createSuggest, FlowTasks, type Suggest, unknownTask } from "./flow-tasks.ts";
import { decideTagging } from "./tagging.ts";
import { Workspace } from "./workspace.ts";
import type { RunRecord } from "./write-statements.ts";

/** What the write path takes from outside. */
export interface WritePathDeps {
  readonly now: () => Date;
  readonly newId: () => string;
}

/**
 * The one way by which task executions change: many changes of one organization in one transaction.
 *
 * The runs are locked in the order of their ids, each change is decided by the lifecycle table against the
 * records as the changes before it left them, and what came of it is written by statements that take many
 * rows. A refused change does not fail the others.
 */
export class WritePath {
  readonly #deps: WritePathDeps;
  readonly #flowTasks = new FlowTasks();

  constructor(deps: WritePathDeps) {
    this.#deps = deps;
  }

  /**
   * Applies changes and returns a result for each, in order.
   *
   * @param em the EntityManager of the organization
   * @param failsAll which refusals fail the whole; by default none
   * @throws LedgerError such a refusal, CONTENTION, or what the database gives; then nothing was written
   */
  async apply(
    em: EntityManager,
    author: Author,
    changes: readonly Change[],
    failsAll: (refused: LedgerError) => boolean = () => false,
  ): Promise<ChangeResult[]> {
    return inTransaction(em, async (tx) => {
      const work = await Workspace.open(tx, author, this.#deps.now(), changes);
      const suggest = createSuggest();
      const results: ChangeResult[] = [];
      for (const change of changes) {
        const result = await this.#applyOne(tx, work, change, suggest);
        if ("refused" in result && failsAll(result.refused)) {
          throw result.refused;
        }
        results.push(result);
      }
      await work.write();
      return results;
    });
  }

  async #applyOne(
    em: EntityManager,
    work: Workspace,
    change: Change,
    suggest: Suggest,
  ): Promise<ChangeResult> {
    try {
      const record = work.find(change);
      if (record !== undefined) {
        return applyToRecord(work, record, change);
      }
      if (change.type !== "report") {
        throw notFound("task execution");
      }
      return { record: await this.#create(em, work, change, suggest), outcome: "created" };
    } catch (error) {
      if (error instanceof LedgerError) {
        return { refused: error };
      }
      throw error;
    }
  }

  async #create(em: EntityManager, work: Workspace, report: Report, suggest: Suggest): Promise<TaskRecord> {
    const run = work.run(report.flowExecutionId);
    if (run === undefined) {
      throw notFound("flow execution");
    }
    const names = await this.#flowTasks.of(em, work.organizationId, run);
    if (!names.has(report.taskName)) {
      throw unknownTask(report.taskName, suggest(report.taskName, names));
    }
    if (isClosed(run)) {
      throw new LedgerError(
        "FLOW_EXECUTION_CLOSED",
        `the flow execution is ${run.status} and takes no new task executions`,
        { metadata: { status: run.status } },
      );
    }
    const record: TaskRecord = {
      id: this.#deps.newId(),
      organizationId: work.organizationId,
      flowExecutionId: run.id,
      flowId: run.flowId,
      taskName: report.taskName,
      taskExecutionIdx: report.taskExecutionIdx,
      status: report.status,
      statusBeforeDelete: null,
      edited: false,
      etag: 1,
      modifiedBy: modifiedByOf(work.author.caller),
      createTime: work.now,
      updateTime: work.now,
      ...timesOf(report, work.now),
      deleteTime: null,
      input: report.payloads.input ?? null,
      output: report.payloads.output ?? null,
      error: report.payloads.error ?? null,
      tags: [],
    };
    work.add(record, Object.keys(report.payloads));
    return { ...record };
  }
}

function applyToRecord(work: Workspace, record: TaskRecord, change: Change): ChangeResult {
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
  work.change(record, decision, "reason" in change ? change.reason : "");
  return { record: { ...record }, outcome: "updated" };
}

function decide(record: TaskRecord, change: Change, { now }: Workspace): Decision | undefined {
  switch (change.type) {
    case "report":
      return decideReport(record, change, now);
    case "amend":
      return decideAmendment(record, change);
    case "tag":
      return decideTagging(record, change);
    default:
      return decideStep(record, change, now);
  }
}

function isClosed({ cancelTime, deleteTime }: RunRecord): boolean {
  return cancelTime !== null || deleteTime !== null;
}
