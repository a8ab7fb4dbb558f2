import type { EntityManager } from "@mikro-orm/postgresql";
import { type RawBuilder, sql } from "kysely";
import { kept, unread } from "../db/statement.ts";
import type { PayloadField, TaskRecord } from "./changes.ts";
import { toDate } from "./run-statements.ts";

/** A key, and how many bytes the payloads have that its record may be compared with. */
export interface Lookup {
  readonly flowExecutionId: string;
  readonly taskName: string;
  readonly taskExecutionIdx: number;
  readonly lengths: Record<PayloadField, number[]>;
}

/** The columns of a record `t`, with its payloads as given: see {@link TaskRecord} for which are not loaded. */
export function recordColumns(payloads: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    t.id, t.organization_id, t.flow_execution_id, t.flow_id, t.task_name, t.task_execution_idx, t.status,
    t.status_before_delete, t.edited, t.etag, t.modified_by, t.create_time, t.update_time, t.start_time, t.end_time,
    t.delete_time, t.attempt, t.iteration, t.generation, t.interruptions, t.executor, t.claim_rank, t.available_time,
    t.lease_token::text, t.outdate_on_end, ${payloads},
    case
      when t.status = 'running' and t.lease_token is not null then (
        select l.cancel_requested
        from (
          select *
          from task_lease as n
          where n.organization_id = t.organization_id and n.task_execution_id >= t.id
          order by n.task_execution_id
          limit 1
        ) as l
        where l.task_execution_id = t.id
      )
    end as cancel_requested,
    (
      select json_agg(json_build_object('tag', g.tag, 'metadata', g.metadata) order by g.tag)
      from task_tag as g
      where g.organization_id = t.organization_id and g.task_execution_id = t.id
    ) as tags`;
}

const comparedPayloads = sql`
  case when t.input is null or octet_length(t.input) = any(k.input) then t.input else '' end as input,
  case when t.output is null or octet_length(t.output) = any(k.output) then t.output else '' end as output,
  case when t.error is null or octet_length(t.error) = any(k.error) then t.error else '' end as error`;

/**
 * Joins to each key `k` its record `t`, in the order of the index of keys, as the statement for states of tasks does
 * and for its reason.
 */
export function joinByKey(organizationId: string): RawBuilder<unknown> {
  return sql`
    cross join lateral (
      select *
      from task_execution as r
      where r.organization_id = ${organizationId} and r.flow_execution_id = k."flowExecutionId"
        and r.task_name = k."taskName" and r.task_execution_idx <= k."taskExecutionIdx"
      order by r.task_execution_idx desc
      limit 1
    ) as t
    where t.task_execution_idx = k."taskExecutionIdx"`;
}

/** Joins to each id `k.id` its record `t`, in the order of the index of ids. */
export function joinById(organizationId: string): RawBuilder<unknown> {
  return sql`
    cross join lateral (
      select *
      from task_execution as r
      where r.organization_id = ${organizationId} and r.id >= k.id
      order by r.id
      limit 1
    ) as t
    where t.id = k.id`;
}

/** Returns the records with the given keys that are there. */
export async function findByKeys(
  em: EntityManager,
  organizationId: string,
  keys: Lookup[],
): Promise<TaskRecord[]> {
  const parameter = JSON.stringify(keys.map(({ lengths, ...key }) => ({ ...key, ...lengths })));
  const { rows } = await sql<object>`${kept("find_records_by_keys")}
    select ${recordColumns(comparedPayloads)}
    from json_to_recordset(${parameter}::json) as k(
      "flowExecutionId" uuid, "taskName" text, "taskExecutionIdx" integer, input integer[], output integer[], error integer[]
    )
    ${joinByKey(organizationId)}
  `.execute(em.getKysely());
  return rows.map(toRecord);
}

/** Returns the records with the given ids that are there. */
export async function findByIds(
  em: EntityManager,
  organizationId: string,
  ids: { readonly id: string; readonly lengths: Record<PayloadField, number[]> }[],
): Promise<TaskRecord[]> {
  const parameter = JSON.stringify(ids.map(({ id, lengths }) => ({ id, ...lengths })));
  const { rows } = await sql<object>`${kept("find_records_by_ids")}
    select ${recordColumns(comparedPayloads)}
    from json_to_recordset(${parameter}::json) as k(id uuid, input integer[], output integer[], error integer[])
    ${joinById(organizationId)}
  `.execute(em.getKysely());
  return rows.map(toRecord);
}

/** Returns the records with the given ids that are there, with their input, in no order. */
export async function findWithInput(
  em: EntityManager,
  organizationId: string,
  ids: readonly string[],
): Promise<TaskRecord[]> {
  const { rows } = await sql<object>`${kept("find_records_with_input")}
    select ${recordColumns(sql`t.input, null as output, null as error`)}
    from task_execution as t
    where t.organization_id = ${organizationId} and t.id = any(${[...ids]}::uuid[])
  `.execute(em.getKysely());
  return rows.map(toRecord);
}

/** Returns the records with the given ids that are there, newest first, with their payloads or without. */
export async function findNewestFirst(
  em: EntityManager,
  organizationId: string,
  ids: readonly string[],
  full: boolean,
): Promise<TaskRecord[]> {
  const [name, payloads] = full
    ? [kept("list_full_records"), sql`t.input, t.output, t.error`]
    : [kept("list_records"), sql`null as input, null as output, null as error`];
  const { rows } = await sql<object>`${name}
    select ${recordColumns(payloads)}
    from unnest(${[...ids]}::uuid[]) as k(id)
    ${joinById(organizationId)}
    order by t.id desc
  `.execute(em.getKysely());
  return rows.map(toRecord);
}

/** Converts a row with the {@link recordColumns}. */
// biome-ignore lint/suspicious/noExplicitAny: a row as the driver gives it
export function toRecord(row: any): TaskRecord {
  return {
    id: row.id,
    organizationId: row.organization_id,
    flowExecutionId: row.flow_execution_id,
    flowId: row.flow_id,
    taskName: row.task_name,
    taskExecutionIdx: row.task_execution_idx,
    status: row.status,
    statusBeforeDelete: row.status_before_delete,
    edited: row.edited,
    etag: row.etag,
    modifiedBy: row.modified_by,
    createTime: new Date(row.create_time),
    updateTime: new Date(row.update_time),
    startTime: toDate(row.start_time),
    endTime: toDate(row.end_time),
    deleteTime: toDate(row.delete_time),
    attempt: row.attempt,
    iteration: row.iteration,
    generation: row.generation,
    interruptions: row.interruptions,
    executor: row.executor,
    claimRank: row.claim_rank,
    availableTime: toDate(row.available_time),
    leaseToken: row.lease_token,
    outdateOnEnd: row.outdate_on_end,
    cancelRequested: row.cancel_requested ?? false,
    input: row.input,
    output: row.output,
    error: row.error,
    tags: typeof row.tags === "string" ? JSON.parse(row.tags) : (row.tags ?? []),
  };
}

/** A record that is to be stored, and how long it cannot be claimed yet, by the database's clock. */
export interface NewRecord {
  readonly record: TaskRecord;
  readonly delayMs: number;
  /** The id of the record whose input it gets. The input never leaves the database for it. */
  readonly inputOfId?: string | undefined;
}

/**
 * Stores new records.
 *
 * They can be claimed from the start of the transaction on, and not from its end, so that it can claim them itself.
 */
export async function insertRecords(
  em: EntityManager,
  organizationId: string,
  records: readonly NewRecord[],
  now: Date,
): Promise<void> {
  const reported = records.filter(isReported);
  const others = records.filter((record) => !isReported(record));
  if (reported.length > 0) await insertReported(em, organizationId, reported, now);
  if (others.length > 0) await insertAny(em, organizationId, others, now);
}

/** Whether a record has only what an outside engine reports. Half as many columns take half the time to read. */
function isReported({ record, inputOfId }: NewRecord): boolean {
  const { executor, attempt, iteration, generation, interruptions, edited, statusBeforeDelete } = record;
  const isManaged =
    executor !== null || iteration !== null || attempt > 1 || generation > 0 || interruptions > 0;
  return !isManaged && !edited && statusBeforeDelete === null && inputOfId === undefined;
}

async function insertReported(
  em: EntityManager,
  organizationId: string,
  records: readonly NewRecord[],
  now: Date,
): Promise<void> {
  const writeTime = timeWriter(now);
  const rows = records.map(({ record }) => withoutNulls(toReportedRow(record, writeTime)));
  await sql`${unread("insert_reported_records")}
    insert into task_execution (
      organization_id, id, flow_execution_id, flow_id, task_name, task_execution_idx, status, input, output, error,
      payload_bytes, edited, etag, modified_by, create_time, update_time, start_time, end_time
    )
    select ${organizationId}::uuid, r.id, r."flowExecutionId", r."flowId", r."taskName", r."taskExecutionIdx", r.status,
      r.input, r.output, r.error,
      coalesce(octet_length(r.input), 0) + coalesce(octet_length(r.output), 0) + coalesce(octet_length(r.error), 0),
      false, r.etag, r."modifiedBy", ${now.toISOString()}::timestamptz, ${now.toISOString()}::timestamptz,
      r."startTime", r."endTime"
    from json_to_recordset(${JSON.stringify(rows)}::json) as r(
      id uuid, "flowExecutionId" uuid, "flowId" uuid, "taskName" text, "taskExecutionIdx" integer, status text,
      input text, output text, error text, etag integer, "modifiedBy" text, "startTime" timestamptz,
      "endTime" timestamptz
    )
  `.execute(em.getKysely());
}

async function insertAny(
  em: EntityManager,
  organizationId: string,
  records: readonly NewRecord[],
  now: Date,
): Promise<void> {
  const writeTime = timeWriter(now);
  const parameter = JSON.stringify(records.map((added) => toRow(added, writeTime)));
  await sql`${unread("insert_records")}
    insert into task_execution (
      organization_id, id, flow_execution_id, flow_id, task_name, task_execution_idx, status, status_before_delete,
      input, output, error, payload_bytes, edited, etag, modified_by, create_time, update_time, start_time, end_time,
      delete_time, attempt, iteration, generation, interruptions, executor, claim_rank, available_time
    )
    select ${organizationId}::uuid, r.id, r."flowExecutionId", r."flowId", r."taskName", r."taskExecutionIdx", r.status,
      r."statusBeforeDelete", i.input, r.output, r.error,
      coalesce(octet_length(i.input), 0) + coalesce(octet_length(r.output), 0) + coalesce(octet_length(r.error), 0),
      r.edited, r.etag, r."modifiedBy", ${now.toISOString()}::timestamptz, ${now.toISOString()}::timestamptz,
      r."startTime", r."endTime", r."deleteTime",
      r.attempt, r.iteration, r.generation, r.interruptions, r.executor, r."claimRank",
      case
        when r.executor is not null then date_trunc('milliseconds', now() + r."delayMs" * interval '1 millisecond')
      end
    from json_to_recordset(${parameter}::json) as r(
      id uuid, "flowExecutionId" uuid, "flowId" uuid, "taskName" text, "taskExecutionIdx" integer, status text,
      "statusBeforeDelete" text, input text, output text, error text, edited boolean, etag integer, "modifiedBy" text,
      "startTime" timestamptz, "endTime" timestamptz, "deleteTime" timestamptz, attempt integer, iteration integer, generation integer, interruptions integer,
      executor text, "claimRank" integer, "delayMs" double precision, "inputOfId" uuid
    )
    cross join lateral (
      select case
        when r."inputOfId" is null then r.input
        else (
          select t.input
          from task_execution as t
          where t.organization_id = ${organizationId} and t.id = r."inputOfId"
        )
      end as input
    ) as i
  `.execute(em.getKysely());
}

/** Returns what a new record is stored with, beside what all of a transaction have in common. */
function toRow({ record, delayMs, inputOfId }: NewRecord, writeTime: TimeWriter) {
  const row = Object.assign(toReportedRow(record, writeTime), {
    statusBeforeDelete: record.statusBeforeDelete,
    edited: record.edited,
    deleteTime: writeTime(record.deleteTime),
    attempt: record.attempt,
    iteration: record.iteration,
    generation: record.generation,
    interruptions: record.interruptions,
    executor: record.executor,
    claimRank: record.claimRank,
    delayMs: record.executor === null ? null : delayMs,
    inputOfId,
  });
  return withoutNulls(row);
}

/** Returns what every new record is stored with. */
function toReportedRow(record: TaskRecord, writeTime: TimeWriter) {
  return {
    id: record.id,
    flowExecutionId: record.flowExecutionId,
    flowId: record.flowId,
    taskName: record.taskName,
    taskExecutionIdx: record.taskExecutionIdx,
    status: record.status,
    input: record.input,
    output: record.output,
    error: record.error,
    etag: record.etag,
    modifiedBy: record.modifiedBy,
    startTime: writeTime(record.startTime),
    endTime: writeTime(record.endTime),
  };
}

/** Takes the nulls out of a row that is to be JSON: what is null need not be sent, nor read. */
export function withoutNulls(row: Record<string, unknown>): object {
  for (const name in row) {
    if (row[name] === null) row[name] = undefined;
  }
  return row;
}

type TimeWriter = (time: Date | null) => string | Date | null;

/**
 * Returns what writes the times of rows: the time of the transaction, which most are, only once. To write a time takes
 * as long as the rest of a row.
 */
function timeWriter(now: Date): TimeWriter {
  const text = now.toISOString();
  return (time) => (time === now ? text : time);
}

/** A record that has changed, and which of its payloads have. */
export interface ChangedRecord {
  readonly record: TaskRecord;
  readonly payloads: readonly PayloadField[];
}

/** Stores changed records; only the payloads that are named are written. */
export async function updateRecords(
  em: EntityManager,
  organizationId: string,
  changed: readonly ChangedRecord[],
  now: Date,
): Promise<void> {
  const writeTime = timeWriter(now);
  const parameter = JSON.stringify(changed.map((each) => toChangedRow(each, writeTime)));
  const payload = (field: PayloadField, isSet: string) =>
    sql`case when r.${sql.ref(isSet)} then r.${sql.ref(field)} else t.${sql.ref(field)} end`;
  const input = payload("input", "setInput");
  const output = payload("output", "setOutput");
  const error = payload("error", "setError");
  await sql`${unread("update_records")}
    update task_execution as t
    set status = r.status, status_before_delete = r."statusBeforeDelete", input = ${input}, output = ${output},
      error = ${error},
      payload_bytes = coalesce(octet_length(${input}), 0) + coalesce(octet_length(${output}), 0)
        + coalesce(octet_length(${error}), 0),
      edited = r.edited, etag = r.etag, modified_by = r."modifiedBy", update_time = r."updateTime",
      start_time = r."startTime", end_time = r."endTime", delete_time = r."deleteTime", lease_token = r."leaseToken",
      outdate_on_end = r."outdateOnEnd"
    from json_to_recordset(${parameter}::json) as r(
      id uuid, status text, "statusBeforeDelete" text, input text, output text, error text, "setInput" boolean,
      "setOutput" boolean, "setError" boolean, edited boolean, etag integer, "modifiedBy" text,
      "updateTime" timestamptz, "startTime" timestamptz, "endTime" timestamptz, "deleteTime" timestamptz,
      "leaseToken" bigint, "outdateOnEnd" boolean
    )
    where t.organization_id = ${organizationId} and t.id = r.id
  `.execute(em.getKysely());
}

/** Returns what a changed record is stored with: of its payloads those that are named. */
function toChangedRow({ record, payloads }: ChangedRecord, writeTime: TimeWriter) {
  const { id, status, statusBeforeDelete, edited, etag, modifiedBy, leaseToken, outdateOnEnd } = record;
  return withoutNulls({
    id,
    status,
    statusBeforeDelete,
    edited,
    etag,
    modifiedBy,
    updateTime: writeTime(record.updateTime),
    startTime: writeTime(record.startTime),
    endTime: writeTime(record.endTime),
    deleteTime: writeTime(record.deleteTime),
    leaseToken,
    outdateOnEnd,
    ...(payloads.includes("input") && { setInput: true, input: record.input }),
    ...(payloads.includes("output") && { setOutput: true, output: record.output }),
    ...(payloads.includes("error") && { setError: true, error: record.error }),
  });
}
