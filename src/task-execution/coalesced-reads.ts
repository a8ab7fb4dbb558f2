import type { MikroORM } from "@mikro-orm/postgresql";
import { Coalescer, type CoalescerLimits } from "../coalescing/coalescer.ts";
import { forOrganization } from "../db/organization.ts";
import { isOutage } from "../db/sql-state.ts";
import { notFound } from "../errors.ts";
import type { FoundRecord, RecordKey } from "./read-path.ts";
import { findRecords } from "./read-statements.ts";

/** What a lookup holds in memory while it waits, about. */
const lookupBytes = 256;

type Lookup = { readonly id: string } | RecordKey;

/** What coalesced reads take from outside. */
export interface CoalescedReadsDeps {
  readonly orm: MikroORM;
  readonly limits: CoalescerLimits;
  readonly statementTimeoutMs: number;
}

/** Whose record is read, and how long its caller waits. */
interface ReadCall {
  readonly organizationId: string;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
}

/** The queue in front of reads by id or key: what callers of one organization ask at the same time is one query. */
export class CoalescedReads {
  readonly #deps: CoalescedReadsDeps;
  readonly #coalescer: Coalescer<Lookup, FoundRecord>;

  constructor(deps: CoalescedReadsDeps) {
    this.#deps = deps;
    this.#coalescer = new Coalescer({
      limits: deps.limits,
      isCommon: isOutage,
      process: async (organizationId, units, { timeoutMs }) => {
        const lookups = units.map(({ item }) => item);
        const found = await this.#find(organizationId, lookups, timeoutMs);
        return found.map((record) =>
          record === undefined ? { error: notFound("task execution") } : { value: record },
        );
      },
    });
  }

  /**
   * Returns the record with an id or key, with payloads and tags, and who holds it.
   *
   * @throws LedgerError NOT_FOUND; TOO_MANY_REQUESTS if too much waits already
   */
  async get(lookup: Lookup, { organizationId, timeoutMs, signal }: ReadCall): Promise<FoundRecord> {
    if (this.#deps.limits.batchCount > 0) {
      const unit = { item: lookup, keys: [], count: 1, bytes: lookupBytes, timeoutMs, signal };
      return this.#coalescer.submit(organizationId, unit);
    }
    const [record] = await this.#find(organizationId, [lookup], timeoutMs);
    if (record === undefined) throw notFound("task execution");
    return record;
  }

  #find(organizationId: string, lookups: readonly Lookup[], timeoutMs: number | undefined) {
    const { orm, statementTimeoutMs } = this.#deps;
    const em = forOrganization(
      orm,
      organizationId,
      Math.min(timeoutMs ?? statementTimeoutMs, statementTimeoutMs),
    );
    return em.transactional((tx) => findRecords(tx, organizationId, lookups));
  }
}
