import type { EntityManager } from "@mikro-orm/postgresql";
import { type RawBuilder, sql } from "kysely";
import { notFound } from "../errors.ts";
import type { TaskRecord } from "./changes.ts";
import { Event } from "./event.entity.ts";
import type { Status } from "./lifecycle.ts";
import { findNewestFirst } from "./record-statements.ts";
import { TaskExecution } from "./task-execution.entity.ts";
import { TaskLease } from "./task-lease.entity.ts";
import { TaskTag } from "./task-tag.entity.ts";

/** How many bytes of payloads a page holds at most; a page holds at least one record. */
export const maxPageBytes = 3_500_000;

/** What a record without payloads takes of a page, about. */
export const recordBytes = 512;

/** Which records a list is of. All conditions hold. */
export interface RecordFilter {
  readonly flowExecutionId?: string | undefined;
  readonly flowId?: string | undefined;
  readonly taskName?: string | undefined;
  readonly taskExecutionIdx?: number | undefined;
  readonly statuses: readonly Status[];
  readonly tag?: string | undefined;
  readonly minCreateTime?: Date | undefined;
  readonly maxCreateTime?: Date | undefined;
  readonly showDeleted: boolean;
}

const payloads = ["input", "output", "error"] as const;

/** A record with its tags, and who holds it. */
export type FoundRecord = TaskRecord & { readonly lease: TaskLease | null };

/** Returns the record with an id or key, with payloads and tags, and who holds it. */
export function getRecord(em: EntityManager, where: { id: string } | RecordKey): Promise<FoundRecord> {
  return em.transactional(async (tx) => {
    const found = await tx.findOne(TaskExecution, where, { populate: payloads });
    if (found === null) {
      throw notFound("task execution");
    }
    const [record] = await withTagsAndLeases(tx, [found]);
    return record!;
  });
}

/** What identifies a record beside its id. */
export interface RecordKey {
  readonly flowExecutionId: string;
  readonly taskName: string;
  readonly taskExecutionIdx: number;
}

/**
 * Returns one page of records, newest first, and whether there are more.
 *
 * The first statement finds the ids by an index, the second loads as many of them as fit a page.
 *
 * @param after the id of the last record of the page before
 */
export function listRecords(
  em: EntityManager,
  organizationId: string,
  filter: RecordFilter,
  page: { readonly size: number; readonly after: string | undefined; readonly full: boolean },
): Promise<{ records: TaskRecord[]; more: boolean }> {
  return em.transactional(async (tx) => {
    const parts = byStatus(filter).map(
      (part) => sql`(
        select t.id, t.payload_bytes
        from task_execution as t
        where ${conditions(organizationId, part, page.after)}
        order by t.id desc
        limit ${page.size + 1}
      )`,
    );
    const { rows } = await sql<{ id: string; payload_bytes: number }>`
      select id, payload_bytes
      from (${sql.join(parts, sql` union all `)}) as found
      order by id desc
      limit ${page.size + 1}
    `.execute(tx.getKysely());
    const candidates = rows.slice(0, page.size);
    const ids = (page.full ? fitting(candidates) : candidates).map(({ id }) => id);
    const records = await findNewestFirst(tx, organizationId, ids, page.full);
    return { records, more: rows.length > ids.length };
  });
}

/** Splits a filter by its statuses: an index has those of each status, but not of several, in the order of a list. */
function byStatus(filter: RecordFilter): readonly RecordFilter[] {
  const { statuses } = filter;
  return statuses.length > 1
    ? [...new Set(statuses)].map((status) => ({ ...filter, statuses: [status] }))
    : [filter];
}

/** Returns the conditions on a record `t` of a list, from after an id. */
export function conditions(
  organizationId: string,
  filter: RecordFilter,
  after: string | undefined,
): RawBuilder<unknown> {
  const { flowExecutionId, flowId, taskName, taskExecutionIdx, statuses, tag, minCreateTime, maxCreateTime } =
    filter;
  const parts = [sql`t.organization_id = ${organizationId}`];
  if (after !== undefined) parts.push(sql`t.id < ${after}::uuid`);
  if (flowExecutionId) parts.push(sql`t.flow_execution_id = ${flowExecutionId}::uuid`);
  if (flowId) parts.push(sql`t.flow_id = ${flowId}::uuid`);
  if (taskName) parts.push(sql`t.task_name = ${taskName}`);
  if (taskExecutionIdx !== undefined) parts.push(sql`t.task_execution_idx = ${taskExecutionIdx}`);
  if (statuses.length === 1) parts.push(sql`t.status = ${statuses[0]}`);
  if (statuses.length > 1) parts.push(sql`t.status = any(${[...statuses]})`);
  if (minCreateTime) parts.push(sql`t.create_time >= ${minCreateTime.toISOString()}::timestamptz`);
  if (maxCreateTime) parts.push(sql`t.create_time < ${maxCreateTime.toISOString()}::timestamptz`);
  if (tag) {
    parts.push(sql`t.id in (
      select g.task_execution_id from task_tag as g where g.organization_id = ${organizationId} and g.tag = ${tag}
    )`);
  }
  if (!filter.showDeleted) {
    parts.push(sql`t.status <> 'deleted'`);
    // A deleted run hides its records without touching them. `not in` is computed once and hashed; `not exists`
    // would be planned as a join of which the planner expects one row, and so reads the whole table.
    parts.push(sql`t.flow_execution_id not in (
      select f.id from flow_execution as f where f.organization_id = ${organizationId} and f.status = 'deleted'
    )`);
  }
  return sql.join(parts, sql` and `);
}

function fitting(rows: readonly { id: string; payload_bytes: number }[]): readonly { id: string }[] {
  let bytes = 0;
  const end = rows.findIndex((row) => {
    bytes += row.payload_bytes + recordBytes;
    return bytes > maxPageBytes;
  });
  return end === -1 ? rows : rows.slice(0, Math.max(1, end));
}

/** Adds to records their tags, and who holds them. */
export async function withTagsAndLeases(
  em: EntityManager,
  found: readonly TaskExecution[],
): Promise<FoundRecord[]> {
  const records = await withTags(em, found);
  const held = records.filter(({ status, leaseToken }) => status === "running" && leaseToken !== null);
  const taskExecutionId = { $in: held.map(({ id }) => id) };
  const leases = held.length > 0 ? await em.find(TaskLease, { taskExecutionId }) : [];
  const byRecord = new Map(leases.map((lease) => [lease.taskExecutionId, lease]));
  return records.map((record) => ({ ...record, lease: byRecord.get(record.id) ?? null }));
}

async function withTags(em: EntityManager, found: readonly TaskExecution[]): Promise<TaskRecord[]> {
  const ids = found.map(({ id }) => id);
  const tags = await em.find(TaskTag, { taskExecutionId: { $in: ids } }, { orderBy: { tag: "asc" } });
  const byRecord = Map.groupBy(tags, ({ taskExecutionId }) => taskExecutionId);
  return found.map((record) => ({
    ...(record as Omit<TaskRecord, "tags">),
    tags: byRecord.get(record.id) ?? [],
  }));
}

/** Returns one page of the events of a record, oldest first, and whether there are more. */
export function listEvents(
  em: EntityManager,
  id: string,
  page: { readonly size: number; readonly after: string | undefined },
): Promise<{ events: Event[]; more: boolean }> {
  return em.transactional(async (tx) => {
    if ((await tx.count(TaskExecution, { id })) === 0) {
      throw notFound("task execution");
    }
    const events = await tx.find(
      Event,
      { taskExecutionId: id, ...(page.after !== undefined && { revision: { $gt: BigInt(page.after) } }) },
      { orderBy: { revision: "asc" }, limit: page.size + 1 },
    );
    return { events: events.slice(0, page.size), more: events.length > page.size };
  });
}
