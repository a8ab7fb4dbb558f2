import { toBinary } from "@bufbuild/protobuf";
import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import {
  type TaskExecution as Message,
  TaskExecutionSchema,
} from "../../gen/taskledger/v1/task_execution_pb.ts";
import { LedgerError, notFound } from "../errors.ts";
import {
  type FoundRecord,
  maxPageBytes,
  type RecordKey,
  recordBytes,
  withTagsAndLeases,
} from "./read-path.ts";
import { joinById, joinByKey } from "./record-statements.ts";
import { TaskExecution } from "./task-execution.entity.ts";
import { toFoundMessage } from "./task-lease.message.ts";

/** How many bytes the records of an answer have at most as messages. Dense payloads have more there than as text. */
const maxAnswerBytes = 4 * 1024 * 1024;

/** What to look up: a record by its id or key, or why it can be none. */
export type RecordLookup = { readonly id: string } | RecordKey | LedgerError;

/**
 * Returns the records with the given ids and keys, in the order of the lookups, with payloads, tags and leases.
 *
 * One statement finds all of them by indexes, and how large they are; only those are loaded that fit an answer. A
 * record that is asked for twice is loaded once, but takes its room in the answer twice.
 *
 * @returns for each lookup the record or why there is none: NOT_FOUND, or MESSAGE_TOO_LARGE if it does not fit
 */
export function getRecords(
  em: EntityManager,
  organizationId: string,
  lookups: readonly RecordLookup[],
): Promise<(Message | LedgerError)[]> {
  return em.transactional(async (tx) => {
    const found = await find(tx, organizationId, lookups);
    const fitting = new Set(takeWhatFits(found, maxPageBytes, (row) => row.payload_bytes + recordBytes));
    const ids = new Set([...fitting].map(({ id }) => id));
    const loaded = await load(tx, [...ids]);
    const messages = found.map((row) => (row && fitting.has(row) ? loaded.get(row.id) : undefined));
    const sent = new Set(
      takeWhatFits(
        messages.map((message, index) => message && { message, index }),
        maxAnswerBytes,
        ({ message }) => toBinary(TaskExecutionSchema, message).length,
      ).map(({ index }) => index),
    );
    return lookups.map((lookup, index) => {
      if (lookup instanceof LedgerError) return lookup;
      if (found[index] === undefined) return notFound("task execution");
      return sent.has(index) ? messages[index]! : doesNotFit(lookups.length);
    });
  });
}

/** A record that was found, and the size of its payloads as text. */
interface Row {
  readonly n: number;
  readonly id: string;
  readonly payload_bytes: number;
}

/** Returns what each lookup finds. */
async function find(
  em: EntityManager,
  organizationId: string,
  lookups: readonly RecordLookup[],
): Promise<(Row | undefined)[]> {
  const asked = lookups.flatMap((lookup, n) => (lookup instanceof LedgerError ? [] : [{ n, ...lookup }]));
  if (asked.length === 0) {
    return [];
  }
  const ids = JSON.stringify(asked.filter((lookup) => "id" in lookup));
  const keys = JSON.stringify(asked.filter((lookup) => !("id" in lookup)));
  const { rows } = await sql<Row>`
    select k.n, t.id, t.payload_bytes
    from json_to_recordset(${ids}::json) as k(n integer, id uuid)
    ${joinById(organizationId)}
    union all
    select k.n, t.id, t.payload_bytes
    from json_to_recordset(${keys}::json) as k(
      n integer, "flowExecutionId" uuid, "taskName" text, "taskExecutionIdx" integer
    )
    ${joinByKey(organizationId)}
  `.execute(em.getKysely());
  const found = new Map(rows.map((row) => [row.n, row]));
  return lookups.map((_, n) => found.get(n));
}

/** Loads records and returns them as messages by their ids. */
async function load(em: EntityManager, ids: readonly string[]): Promise<Map<string, Message>> {
  const payloads = ["input", "output", "error"] as const;
  const records = await em.find(TaskExecution, { id: { $in: [...ids] } }, { populate: payloads });
  const found: FoundRecord[] = await withTagsAndLeases(em, records);
  return new Map(found.map((record) => [record.id, toFoundMessage(record)]));
}

/** Returns those that fit together, in order; one that does not fit leaves its room to smaller ones after it. */
function takeWhatFits<T>(
  items: readonly (T | undefined)[],
  limit: number,
  bytesOf: (item: T) => number,
): T[] {
  let bytes = 0;
  return items.filter((item): item is T => {
    const size = item === undefined ? 0 : bytesOf(item);
    if (item === undefined || bytes + size > limit) return false;
    bytes += size;
    return true;
  });
}

function doesNotFit(lookups: number): LedgerError {
  return new LedgerError(
    "MESSAGE_TOO_LARGE",
    `the record does not fit an answer with ${lookups} lookups; ask for fewer at once`,
    { metadata: { limit: String(maxAnswerBytes) } },
  );
}
