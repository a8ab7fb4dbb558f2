import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { modifiedByOf } from "../auth/modified-by.ts";
import { LostRace } from "../db/transaction.ts";
import { LedgerError, notFound } from "../errors.ts";
import { flowDeleted } from "../flow/change-flow.ts";
import { Flow } from "../flow/flow.entity.ts";
import type { Author } from "../task-execution/changes.ts";
import type { Dispatch } from "../task-execution/run-status.ts";
import type { WritePath } from "../task-execution/write-path.ts";
import { requireRun } from "./change-flow-execution.ts";
import { FlowExecution } from "./flow-execution.entity.ts";
import { requireChecked, requireInput, Unchecked } from "./require-input.ts";

/** A run that is asked for. What is undefined was left out. */
export interface NewRun {
  /** In lower case. */
  readonly flowId: string;
  readonly flowVersion: number | undefined;
  /** Canonical JSON text. */
  readonly input: string | undefined;
  /** Canonical JSON text; `{}` if there are none. */
  readonly labels: string;
  readonly requestId: string;
  readonly dispatch: Dispatch;
  readonly priority: number;
}

/** What creating a run takes beside the request. */
export interface CreateContext {
  readonly writePath: WritePath;
  readonly author: Author;
}

/**
 * Creates a run, or returns the one that the same request has created before.
 *
 * The number of the run is taken under the lock of the flow's row, so that numbers have no gaps. A managed run
 * begins in the same transaction. The input is checked between a first transaction, which finds the version of the
 * flow and writes nothing, and a second one.
 *
 * @throws LedgerError REQUEST_ID_REUSED, FLOW_DELETED, NOT_FOUND or INPUT_MISMATCH
 */
export async function createFlowExecution(
  em: EntityManager,
  context: CreateContext,
  run: NewRun,
): Promise<{ readonly run: FlowExecution; readonly isNew: boolean }> {
  for (let checkedVersion: number | undefined; ; ) {
    try {
      const { id, isNew } = await store(em, context, run, checkedVersion);
      return { run: await em.findOneOrFail(FlowExecution, { id }, { populate: ["input"] }), isNew };
    } catch (error) {
      if (!(error instanceof Unchecked)) throw error;
      await requireInput(context.author.caller.organizationId, error, run.input);
      checkedVersion = error.flowVersion;
    }
  }
}

/** Stores a run that is new. */
function store(
  em: EntityManager,
  { writePath, author }: CreateContext,
  run: NewRun,
  checkedVersion: number | undefined,
): Promise<{ readonly id: string; readonly isNew: boolean }> {
  return writePath.transact(em, author, async (work) => {
    const { em: tx, organizationId, now } = work;
    const existing = await tx.findOne(FlowExecution, { requestId: run.requestId }, { populate: ["input"] });
    if (existing !== null) {
      requireSame(existing, run);
      return { id: existing.id, isNew: false };
    }
    const flow = await countRun(tx, organizationId, run.flowId);
    // Made under the lock, so that the runs of a flow are listed in the order of their numbers.
    const id = work.newId();
    const flowVersion = run.flowVersion ?? flow.version;
    if (flowVersion > flow.version) {
      throw notFound("flow version");
    }
    await requireChecked(tx, { flowId: run.flowId, flowVersion }, checkedVersion);
    const row = {
      ...run,
      organizationId,
      id,
      flowVersion,
      runNumber: flow.runCount,
      modifiedBy: modifiedByOf(author.caller),
      now,
    };
    if (!(await insertRun(tx, row))) {
      throw new LostRace("another server got the same request first");
    }
    await work.load([], [id]);
    const created = requireRun(work, id);
    work.noteRun(created, "create");
    if (run.dispatch === "managed") {
      const { tasks } = await work.planOf(created);
      work.nudge(created, tasks.keys());
    }
    return { id, isNew: true };
  });
}

/** Refuses a repeated request that asks for something else. What it leaves out is not compared. */
function requireSame(
  existing: FlowExecution,
  { flowId, flowVersion, input, labels, requestId, dispatch, priority }: NewRun,
): void {
  const isSame =
    existing.flowId === flowId &&
    existing.dispatch === dispatch &&
    existing.priority === priority &&
    (flowVersion === undefined || existing.flowVersion === flowVersion) &&
    (input === undefined || existing.input === input) &&
    (labels === "{}" || existing.labels === labels);
  if (!isSame) {
    const message = `request_id ${JSON.stringify(requestId)} was used for a flow execution with other content; use a new one`;
    throw new LedgerError("REQUEST_ID_REUSED", message, { metadata: { request_id: requestId } });
  }
}

/** Counts one more run of a flow, and locks its row until the transaction ends. */
async function countRun(
  em: EntityManager,
  organizationId: string,
  flowId: string,
): Promise<{ readonly version: number; readonly runCount: number }> {
  const { rows } = await sql<{ version: number; runCount: number }>`
    update flow
    set run_count = run_count + 1
    where organization_id = ${organizationId} and id = ${flowId} and delete_time is null
    returning version, run_count as "runCount"
  `.execute(em.getKysely());
  const [flow] = rows;
  if (flow === undefined) {
    throw (await em.findOne(Flow, { id: flowId })) ? flowDeleted() : notFound("flow");
  }
  return flow;
}

/** A row of a run that is to be stored. */
interface NewRow extends NewRun {
  readonly organizationId: string;
  readonly id: string;
  readonly flowVersion: number;
  readonly runNumber: number;
  readonly modifiedBy: string;
  readonly now: Date;
}

/** Stores a run. Returns false, and stores nothing, if one has its request id by now. */
async function insertRun(em: EntityManager, row: NewRow): Promise<boolean> {
  const time = row.now.toISOString();
  const { rows } = await sql`
    insert into flow_execution (
      organization_id, id, flow_id, flow_version, run_number, status, dispatch, input, labels, request_id, revision,
      total_tasks, queued_tasks, running_tasks, completed_tasks, failed_tasks, cancelled_tasks, stale_tasks, etag,
      modified_by, create_time, update_time, priority
    )
    select v.organization_id, ${row.id}::uuid, v.flow_id, v.version, ${row.runNumber}::integer, 'queued',
      ${row.dispatch}, ${row.input ?? null}, ${row.labels}, ${row.requestId}, 0, json_array_length(v.tasks::json), 0, 0,
      0, 0, 0, 0, 1, ${row.modifiedBy}, ${time}::timestamptz, ${time}::timestamptz, ${row.priority}::integer
    from flow_version as v
    where v.organization_id = ${row.organizationId} and v.flow_id = ${row.flowId} and v.version = ${row.flowVersion}
    on conflict on constraint flow_execution_request_id_key do nothing
    returning id
  `.execute(em.getKysely());
  return rows.length === 1;
}
