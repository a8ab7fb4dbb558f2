import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import type { TaskCounts } from "../flow-execution/flow-status.ts";
import type { EventType, PayloadField, TagRow, TaskRecord } from "./changes.ts";
import type { LiveStatus, Status } from "./lifecycle.ts";

// The statements of the write path. Each takes many rows, as one JSON parameter: values never become part
// of the SQL text, where they would end in the database's log when the statement fails.

/** A run while its tasks are changed. Its row stays locked until the transaction ends. */
export interface RunRecord {
  readonly id: string;
  readonly flowId: string;
  readonly flowVersion: number;
  status: Status;
  revision: bigint;
  readonly totalTasks: number;
  readonly counts: TaskCounts;
  etag: number;
  modifiedBy: string;
  startTime: Date | null;
  endTime: Date | null;
  cancelTime: Date | null;
  deleteTime: Date | null;
}

/** A key, and how many bytes the payloads have that its record may be compared with. */
export interface Lookup {
  readonly flowExecutionId: string;
  readonly taskName: string;
  readonly taskExecutionIdx: number;
  readonly lengths: Record<PayloadField, number[]>;
}

/** One task of one run. */
export interface TaskOfRun {
  readonly flowExecutionId: string;
  readonly taskName: string;
}

/** An entry of the event log. `revision` is a decimal number. */
export interface EventRow {
  readonly flowExecutionId: string;
  readonly revision: string;
  readonly taskExecutionId: string | null;
  readonly type: EventType;
  readonly fromStatus: Status | null;
  readonly toStatus: Status;
  readonly reason: string;
  readonly changedFields: string;
}

/** Returns the runs of task executions by the ids of the latter. Ids that are not there are left out. */
export async function findRunIds(
  em: EntityManager,
  organizationId: string,
  ids: string[],
): Promise<Map<string, string>> {
  const { rows } = await sql<{ id: string; flowExecutionId: string }>`
    select id, flow_execution_id as "flowExecutionId"
    from task_execution
    where organization_id = ${organizationId} and id = any(${ids}::uuid[])
  `.execute(em.getKysely());
  return new Map(rows.map((row) => [row.id, row.flowExecutionId]));
}

/**
 * Locks runs, in the order of their ids, and returns those that are there.
 *
 * Whoever changes a run or one of its tasks takes this lock first. So writers of one run come one after
 * the other, revisions have no gaps, two creates of one key cannot meet, and nobody waits in a circle.
 */
export async function lockRuns(
  em: EntityManager,
  organizationId: string,
  ids: string[],
): Promise<Map<string, RunRecord>> {
  const { rows } = await sql<Record<string, never>>`
    select id, flow_id, flow_version, status, revision::text, total_tasks, queued_tasks, running_tasks,
      completed_tasks, failed_tasks, cancelled_tasks, stale_tasks, etag, modified_by, start_time, end_time,
      cancel_time, delete_time
    from flow_execution
    where organization_id = ${organizationId} and id = any(${ids}::uuid[])
    order by id
    for no key update
  `.execute(em.getKysely());
  return new Map(rows.map((row) => [row["id"]!, toRun(row)]));
}

// biome-ignore lint/suspicious/noExplicitAny: a row as the driver gives it
function toRun(row: any): RunRecord {
  return {
    id: row.id,
    flowId: row.flow_id,
    flowVersion: row.flow_version,
    status: row.status,
    revision: BigInt(row.revision),
    totalTasks: row.total_tasks,
    counts: {
      queued: row.queued_tasks,
      running: row.running_tasks,
      completed: row.completed_tasks,
      failed: row.failed_tasks,
      cancelled: row.cancelled_tasks,
      stale: row.stale_tasks,
    },
    etag: row.etag,
    modifiedBy: row.modified_by,
    startTime: toDate(row.start_time),
    endTime: toDate(row.end_time),
    cancelTime: toDate(row.cancel_time),
    deleteTime: toDate(row.delete_time),
  };
}

const recordColumns = sql`
  t.id, t.organization_id, t.flow_execution_id, t.flow_id, t.task_name, t.task_execution_idx, t.status,
  t.status_before_delete, t.edited, t.etag, t.modified_by, t.create_time, t.update_time, t.start_time,
  t.end_time, t.delete_time,
  case when t.input is null or octet_length(t.input) = any(k.input) then t.input else '' end as input,
  case when t.output is null or octet_length(t.output) = any(k.output) then t.output else '' end as output,
  case when t.error is null or octet_length(t.error) = any(k.error) then t.error else '' end as error,
  (
    select json_agg(json_build_object('tag', g.tag, 'metadata', g.metadata) order by g.tag)
    from task_tag as g
    where g.organization_id = t.organization_id and g.task_execution_id = t.id
  ) as tags`;

/** Returns the records with the given keys that are there. */
export async function findByKeys(
  em: EntityManager,
  organizationId: string,
  keys: Lookup[],
): Promise<TaskRecord[]> {
  const parameter = JSON.stringify(keys.map(({ lengths, ...key }) => ({ ...key, ...lengths })));
  const { rows } = await sql<object>`
    select ${recordColumns}
    from json_to_recordset(${parameter}::json) as k(
      "flowExecutionId" uuid, "taskName" text, "taskExecutionIdx" integer, input integer[], output integer[], error integer[]
    )
    join task_execution as t
      on t.organization_id = ${organizationId}
      and t.flow_execution_id = k."flowExecutionId"
      and t.task_name = k."taskName"
      and t.task_execution_idx = k."taskExecutionIdx"
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
  const { rows } = await sql<object>`
    select ${recordColumns}
    from json_to_recordset(${parameter}::json) as k(id uuid, input integer[], output integer[], error integer[])
    join task_execution as t on t.organization_id = ${organizationId} and t.id = k.id
  `.execute(em.getKysely());
  return rows.map(toRecord);
}

// biome-ignore lint/suspicious/noExplicitAny: a row as the driver gives it
function toRecord(row: any): TaskRecord {
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
    input: row.input,
    output: row.output,
    error: row.error,
    tags: typeof row.tags === "string" ? JSON.parse(row.tags) : (row.tags ?? []),
  };
}

function toDate(value: string | Date | null): Date | null {
  return value === null ? null : new Date(value);
}

/** Returns the status of the newest record that is not deleted, for each of the tasks that has one. */
export async function findTaskStatuses(
  em: EntityManager,
  organizationId: string,
  tasks: readonly TaskOfRun[],
): Promise<{ flowExecutionId: string; status: LiveStatus }[]> {
  const { rows } = await sql<{ flowExecutionId: string; status: LiveStatus }>`
    select k."flowExecutionId", newest.status
    from json_to_recordset(${JSON.stringify(tasks)}::json) as k("flowExecutionId" uuid, "taskName" text)
    cross join lateral (
      select t.status
      from task_execution as t
      where t.organization_id = ${organizationId}
        and t.flow_execution_id = k."flowExecutionId"
        and t.task_name = k."taskName"
        and t.status <> 'deleted'
      order by t.task_execution_idx desc
      limit 1
    ) as newest
  `.execute(em.getKysely());
  return rows;
}

/** Returns when the last task of a run ended. */
export async function findLastEnd(
  em: EntityManager,
  organizationId: string,
  runId: string,
): Promise<Date | null> {
  const { rows } = await sql<{ last: string | null }>`
    select max(end_time) as last
    from task_execution
    where organization_id = ${organizationId} and flow_execution_id = ${runId}::uuid and status <> 'deleted'
  `.execute(em.getKysely());
  return toDate(rows[0]?.last ?? null);
}

/** Stores new records. */
export async function insertRecords(
  em: EntityManager,
  organizationId: string,
  records: TaskRecord[],
): Promise<void> {
  await sql`
    insert into task_execution (
      organization_id, id, flow_execution_id, flow_id, task_name, task_execution_idx, status, status_before_delete,
      input, output, error, payload_bytes, edited, etag, modified_by, create_time, update_time, start_time, end_time,
      delete_time
    )
    select ${organizationId}::uuid, r.id, r."flowExecutionId", r."flowId", r."taskName", r."taskExecutionIdx", r.status,
      r."statusBeforeDelete", r.input, r.output, r.error,
      coalesce(octet_length(r.input), 0) + coalesce(octet_length(r.output), 0) + coalesce(octet_length(r.error), 0),
      r.edited, r.etag, r."modifiedBy", r."createTime", r."updateTime", r."startTime", r."endTime", r."deleteTime"
    from json_to_recordset(${JSON.stringify(records)}::json) as r(
      id uuid, "flowExecutionId" uuid, "flowId" uuid, "taskName" text, "taskExecutionIdx" integer, status text,
      "statusBeforeDelete" text, input text, output text, error text, edited boolean, etag integer, "modifiedBy" text,
      "createTime" timestamptz, "updateTime" timestamptz, "startTime" timestamptz, "endTime" timestamptz,
      "deleteTime" timestamptz
    )
  `.execute(em.getKysely());
}

/** Stores changed records; only the payloads that are named are written. */
export async function updateRecords(
  em: EntityManager,
  organizationId: string,
  changed: { readonly record: TaskRecord; readonly payloads: ReadonlySet<PayloadField> }[],
): Promise<void> {
  const parameter = JSON.stringify(
    changed.map(({ record, payloads }) => ({
      ...record,
      input: payloads.has("input") ? record.input : null,
      output: payloads.has("output") ? record.output : null,
      error: payloads.has("error") ? record.error : null,
      setInput: payloads.has("input"),
      setOutput: payloads.has("output"),
      setError: payloads.has("error"),
    })),
  );
  await sql`
    with changed as (
      select r.*,
        case when r."setInput" then r.input else t.input end as new_input,
        case when r."setOutput" then r.output else t.output end as new_output,
        case when r."setError" then r.error else t.error end as new_error
      from json_to_recordset(${parameter}::json) as r(
        id uuid, status text, "statusBeforeDelete" text, input text, output text, error text, "setInput" boolean,
        "setOutput" boolean, "setError" boolean, edited boolean, etag integer, "modifiedBy" text,
        "updateTime" timestamptz, "startTime" timestamptz, "endTime" timestamptz, "deleteTime" timestamptz
      )
      join task_execution as t on t.organization_id = ${organizationId} and t.id = r.id
    )
    update task_execution as t
    set status = c.status, status_before_delete = c."statusBeforeDelete", input = c.new_input, output = c.new_output,
      error = c.new_error,
      payload_bytes = coalesce(octet_length(c.new_input), 0) + coalesce(octet_length(c.new_output), 0)
        + coalesce(octet_length(c.new_error), 0),
      edited = c.edited, etag = c.etag, modified_by = c."modifiedBy", update_time = c."updateTime",
      start_time = c."startTime", end_time = c."endTime", delete_time = c."deleteTime"
    from changed as c
    where t.organization_id = ${organizationId} and t.id = c.id
  `.execute(em.getKysely());
}

/** Stores changed runs. */
export async function updateRuns(
  em: EntityManager,
  organizationId: string,
  runs: RunRecord[],
  now: Date,
): Promise<void> {
  const parameter = JSON.stringify(
    runs.map((run) => ({ ...run, ...run.counts, revision: String(run.revision) })),
  );
  await sql`
    update flow_execution as f
    set status = r.status, revision = r.revision, queued_tasks = r.queued, running_tasks = r.running,
      completed_tasks = r.completed, failed_tasks = r.failed, cancelled_tasks = r.cancelled, stale_tasks = r.stale,
      etag = r.etag, modified_by = r."modifiedBy", update_time = ${now.toISOString()}, start_time = r."startTime",
      end_time = r."endTime", cancel_time = r."cancelTime", delete_time = r."deleteTime"
    from json_to_recordset(${parameter}::json) as r(
      id uuid, status text, revision bigint, queued integer, running integer, completed integer, failed integer,
      cancelled integer, stale integer, etag integer, "modifiedBy" text, "startTime" timestamptz,
      "endTime" timestamptz, "cancelTime" timestamptz, "deleteTime" timestamptz
    )
    where f.organization_id = ${organizationId} and f.id = r.id
  `.execute(em.getKysely());
}

/** Appends to the event log. */
export async function insertEvents(
  em: EntityManager,
  actor: {
    organizationId: string;
    subject: string;
    kind: string;
    keyName: string;
    requestId: string;
    time: Date;
  },
  events: EventRow[],
): Promise<void> {
  await sql`
    insert into event (
      organization_id, flow_execution_id, revision, task_execution_id, type, from_status, to_status, actor_subject,
      actor_kind, actor_key_name, reason, request_id, changed_fields, create_time
    )
    select ${actor.organizationId}::uuid, e."flowExecutionId", e.revision, e."taskExecutionId", e.type, e."fromStatus",
      e."toStatus", ${actor.subject}, ${actor.kind}, ${actor.keyName}, e.reason, ${actor.requestId}, e."changedFields",
      ${actor.time.toISOString()}::timestamptz
    from json_to_recordset(${JSON.stringify(events)}::json) as e(
      "flowExecutionId" uuid, revision bigint, "taskExecutionId" uuid, type text, "fromStatus" text, "toStatus" text,
      reason text, "changedFields" text
    )
  `.execute(em.getKysely());
}

/** Stores and removes tags. */
export async function writeTags(
  em: EntityManager,
  organizationId: string,
  added: { readonly id: string; readonly tag: TagRow }[],
  removed: { readonly id: string; readonly tag: string }[],
  now: Date,
): Promise<void> {
  if (removed.length > 0) {
    await sql`
      delete from task_tag as g
      using json_to_recordset(${JSON.stringify(removed)}::json) as r(id uuid, tag text)
      where g.organization_id = ${organizationId} and g.task_execution_id = r.id and g.tag = r.tag
    `.execute(em.getKysely());
  }
  if (added.length > 0) {
    await sql`
      insert into task_tag (organization_id, task_execution_id, tag, metadata, create_time)
      select ${organizationId}::uuid, a.id, a.tag, a.metadata, ${now.toISOString()}::timestamptz
      from json_to_recordset(${JSON.stringify(added.map(({ id, tag }) => ({ id, ...tag })))}::json) as a(
        id uuid, tag text, metadata text
      )
    `.execute(em.getKysely());
  }
}
