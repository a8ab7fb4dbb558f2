import { LRUCache } from "lru-cache";
import type { TaskRecord } from "../task-execution/changes.ts";
import { findWithInput } from "../task-execution/record-statements.ts";
import { lockFreeOpenRuns, lockRuns } from "../task-execution/run-statements.ts";
import type { Workspace } from "../task-execution/workspace.ts";
import { type Cursor, findClaimable, findRunsWithWork, type RunWithWork } from "./claim-statements.ts";
import { findLeases, type HeldLease } from "./lease-statements.ts";

/** How many bytes the inputs of one claim may have together: what fits into one answer with room to spare. */
const maxInputBytes = 3_000_000;

/** How many runs one claim takes from at most: each is locked until the commit. */
const mostRuns = 16;

/** How many looks one claim takes at the queue, when what it finds is not ready yet or locked by others. */
const mostLooks = 4;

/** What a worker asks for. */
export interface Claim {
  readonly executors: readonly string[];
  readonly max: number;
  readonly workerId: string;
  readonly requestId: string;
}

/** A task that was claimed. */
export interface Claimed {
  readonly record: TaskRecord;
  readonly lease: HeldLease;
}

/**
 * Hands out tasks.
 *
 * Runs take turns: each process remembers for each set of executors where it was. That is a hint and no more;
 * several processes take their turns apart.
 */
export class Claims {
  readonly #cursors = new LRUCache<string, Cursor>({ max: 10_000 });

  /** Returns what a claim of the same request was given before, as far as it is still held. */
  async repeat(work: Workspace, { requestId }: Claim): Promise<Claimed[]> {
    const { em, organizationId } = work;
    return toClaimed(work, await findLeases(em, organizationId, { requestId }));
  }

  /**
   * Claims tasks that are ready, and leases them to the worker.
   *
   * @param mayWait whether nothing is locked yet, so that it may wait for a run that others have locked
   */
  async claim(work: Workspace, claim: Claim, mayWait: boolean): Promise<Claimed[]> {
    const { em, organizationId } = work;
    const runs = await this.#lockRuns(work, claim, mayWait);
    if (runs.length === 0) {
      return [];
    }
    const limits = { max: claim.max, maxBytes: maxInputBytes };
    const ids = await findClaimable(em, organizationId, runs, claim.executors, limits);
    if (ids.length === 0) {
      return [];
    }
    const loaded = work.remember(await findWithInput(em, organizationId, ids));
    const byId = new Map(loaded.map((record) => [record.id, record]));
    for (const id of ids) {
      const record = byId.get(id)!;
      const run = work.run(record.flowExecutionId)!;
      const task = (await work.planOf(run)).tasks.get(record.taskName);
      work.start(record, {
        workerId: claim.workerId,
        requestId: claim.requestId,
        lengthMs: task?.leaseMs ?? 30_000,
        timeoutMs: task?.timeoutMs ?? null,
      });
    }
    await work.flush();
    const leases = await findLeases(em, organizationId, { taskExecutionIds: ids });
    const leaseOf = new Map(leases.map((lease) => [lease.taskExecutionId, lease]));
    return ids.map((id) => ({ record: { ...byId.get(id)! }, lease: leaseOf.get(id)! }));
  }

  /** Locks runs that have something to claim and returns them: those that nobody else has locked, if there are any. */
  async #lockRuns(work: Workspace, { executors, max }: Claim, mayWait: boolean): Promise<RunWithWork[]> {
    const { em, organizationId } = work;
    const key = `${organizationId}/${[...executors].sort().join("\n")}`;
    let busy: RunWithWork | undefined;
    for (let look = 0; look < mostLooks; look++) {
      const { runs, last } = await findRunsWithWork(em, organizationId, executors, this.#cursors.get(key));
      const wanted = runs.slice(0, Math.min(max, mostRuns));
      busy ??= wanted[0];
      const ids = wanted.map(({ flowExecutionId }) => flowExecutionId);
      const locked = ids.length > 0 ? await lockFreeOpenRuns(em, organizationId, ids) : [];
      if (locked.length > 0) {
        work.take(locked);
        const ours = wanted.filter(({ flowExecutionId }) => locked.some(({ id }) => id === flowExecutionId));
        this.#cursors.set(key, { id: ours.at(-1)!.flowExecutionId });
        return ours;
      }
      if (last === undefined) {
        break;
      }
      this.#cursors.set(key, last);
    }
    if (busy === undefined || !mayWait) {
      return [];
    }
    work.take(await lockRuns(em, organizationId, [busy.flowExecutionId]));
    return [busy];
  }
}

async function toClaimed(work: Workspace, leases: readonly HeldLease[]): Promise<Claimed[]> {
  if (leases.length === 0) {
    return [];
  }
  const ids = leases.map(({ taskExecutionId }) => taskExecutionId);
  const records = await findWithInput(work.em, work.organizationId, ids);
  const byId = new Map(records.map((record) => [record.id, record]));
  return leases.flatMap((lease) => {
    const record = byId.get(lease.taskExecutionId);
    return record?.status === "running" ? [{ record, lease }] : [];
  });
}
