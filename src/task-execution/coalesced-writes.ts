import type { EntityManager, MikroORM } from "@mikro-orm/postgresql";
import { Coalescer, type CoalescerLimits, type Unit } from "../coalescing/coalescer.ts";
import { forOrganization } from "../db/organization.ts";
import { isOutage } from "../db/sql-state.ts";
import type { Change, ChangeResult } from "./changes.ts";
import type { WritePath, WriteRequest } from "./write-path.ts";

/** What a change holds in memory beside its payloads, about. */
const changeBytes = 512;

/** A request whose caller waits so long. */
interface TimedRequest extends WriteRequest {
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
}

/** What coalesced writes take from outside. */
export interface CoalescedWritesDeps {
  readonly orm: MikroORM;
  readonly writePath: WritePath;
  readonly limits: CoalescerLimits;
  readonly statementTimeoutMs: number;
}

/**
 * The queue in front of the write path: what callers of one organization want at the same time is one transaction.
 *
 * Requests about the same run, or about the same record, are applied in the order in which they came.
 */
export class CoalescedWrites {
  readonly #deps: CoalescedWritesDeps;
  readonly #coalescer: Coalescer<TimedRequest, ChangeResult[]>;

  constructor(deps: CoalescedWritesDeps) {
    this.#deps = deps;
    this.#coalescer = new Coalescer({
      limits: deps.limits,
      isCommon: isOutage,
      process: (organizationId, units, { mayWait, timeoutMs }) => {
        const requests = units.map(({ item }) => item);
        return deps.writePath.applyTogether(this.#emOf(organizationId, timeoutMs), requests, mayWait);
      },
    });
  }

  #emOf(organizationId: string, timeoutMs: number | undefined): EntityManager {
    const { orm, statementTimeoutMs } = this.#deps;
    return forOrganization(
      orm,
      organizationId,
      Math.min(timeoutMs ?? statementTimeoutMs, statementTimeoutMs),
    );
  }

  /**
   * Applies changes, all in one transaction, and returns a result for each, in order.
   *
   * @throws LedgerError TOO_MANY_REQUESTS if too much waits already, CONTENTION, or what the database gives; then
   * nothing was written
   */
  apply(request: TimedRequest): Promise<ChangeResult[]> {
    const { limits, writePath } = this.#deps;
    const { author, changes, timeoutMs } = request;
    const { organizationId } = author.caller;
    return limits.batchCount === 0
      ? writePath.apply(this.#emOf(organizationId, timeoutMs), author, changes)
      : this.#coalescer.submit(organizationId, toUnit(request));
  }
}

function toUnit(request: TimedRequest): Unit<TimedRequest> {
  const keys = new Set<string>();
  let bytes = 0;
  for (const change of request.changes) {
    keys.add(change.type === "report" ? change.flowExecutionId : change.id);
    bytes += changeBytes + bytesOf(change);
  }
  const { timeoutMs, signal, changes } = request;
  return { item: request, keys: [...keys], count: changes.length, bytes, timeoutMs, signal };
}

function bytesOf(change: Change): number {
  if (change.type === "work") {
    const { result } = change;
    return ("output" in result ? result.output?.length : "error" in result ? result.error.length : 0) ?? 0;
  }
  if (!("payloads" in change)) {
    return 0;
  }
  const { input, output, error } = change.payloads;
  return (input?.length ?? 0) + (output?.length ?? 0) + (error?.length ?? 0);
}
