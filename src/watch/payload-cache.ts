import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { LRUCache } from "lru-cache";

/** The payloads of a record, as canonical JSON text. */
export interface Payloads {
  readonly input: string | null;
  readonly output: string | null;
  readonly error: string | null;
}

/** One version of a record. */
export interface RecordVersion {
  readonly id: string;
  readonly etag: number;
}

/** The payloads of records that were told last, of all organizations: many streams want the same. */
export class PayloadCache {
  readonly #cache: LRUCache<string, Payloads>;

  constructor(maxBytes: number) {
    this.#cache = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ input, output, error }) =>
        200 + 2 * ((input?.length ?? 0) + (output?.length ?? 0) + (error?.length ?? 0)),
    });
  }

  /** Returns the payloads of those versions that are still the newest, by id. */
  async load(
    em: EntityManager,
    organizationId: string,
    versions: readonly RecordVersion[],
  ): Promise<ReadonlyMap<string, Payloads>> {
    const found = new Map<string, Payloads>();
    const missing: RecordVersion[] = [];
    for (const version of versions) {
      const cached = this.#cache.get(keyOf(organizationId, version));
      if (cached === undefined) missing.push(version);
      else found.set(version.id, cached);
    }
    if (missing.length > 0) {
      const { rows } = await em.transactional((tx) =>
        sql<RecordVersion & Payloads>`
          select t.id, t.etag, t.input, t.output, t.error
          from json_to_recordset(${JSON.stringify(missing)}::json) as v(id uuid, etag integer)
          join task_execution as t on t.organization_id = ${organizationId} and t.id = v.id and t.etag = v.etag
        `.execute(tx.getKysely()),
      );
      for (const { id, etag, input, output, error } of rows) {
        const payloads = { input, output, error };
        this.#cache.set(keyOf(organizationId, { id, etag }), payloads);
        found.set(id, payloads);
      }
    }
    return found;
  }
}

function keyOf(organizationId: string, { id, etag }: RecordVersion): string {
  return `${organizationId}/${id}/${etag}`;
}
