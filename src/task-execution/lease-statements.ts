import type { EntityManager } from "@mikro-orm/postgresql";
import { type RawBuilder, sql } from "kysely";
import { unread } from "../db/statement.ts";

/** A hold that a worker is given on a task. */
export interface Lease {
  readonly taskExecutionId: string;
  readonly flowExecutionId: string;
  /** The fencing token, a decimal number. */
  readonly token: string;
  readonly workerId: string;
  readonly requestId: string;
  readonly lengthMs: number;
  /** How long the attempt may take. */
  readonly timeoutMs: number | null;
}

/** What becomes of leases in a transaction, by the ids of the records. */
export interface LeaseChanges {
  readonly given: readonly Lease[];
  readonly dropped: ReadonlySet<string>;
  readonly cancelled: ReadonlySet<string>;
  /** Records that are running again after they were deleted: their leases have run out meanwhile. */
  readonly restored: ReadonlySet<string>;
}

/** Stores what becomes of leases. The runs of the tasks must be locked. */
export async function changeLeases(
  em: EntityManager,
  organizationId: string,
  { given, dropped, cancelled, restored }: LeaseChanges,
): Promise<void> {
  const touched = [...dropped, ...cancelled];
  if (touched.length > 0) {
    // In the order in which heartbeats take them, which lock no runs.
    await sql`${unread("lock_leases")}
      select
      from task_lease
      where organization_id = ${organizationId} and task_execution_id = any(${touched}::uuid[])
      order by task_execution_id
      for update
    `.execute(em.getKysely());
  }
  if (dropped.size > 0) {
    await sql`${unread("delete_leases")}
      delete from task_lease
      where organization_id = ${organizationId} and task_execution_id = any(${[...dropped]}::uuid[])
    `.execute(em.getKysely());
  }
  if (cancelled.size > 0) {
    await sql`${unread("cancel_leases")}
      update task_lease
      set cancel_requested = true
      where organization_id = ${organizationId} and task_execution_id = any(${[...cancelled]}::uuid[])
    `.execute(em.getKysely());
  }
  if (restored.size > 0) {
    await restoreLeases(em, organizationId, sql`t.id = any(${[...restored]}::uuid[])`);
  }
  if (given.length > 0) {
    await sql`${unread("insert_leases")}
      insert into task_lease (
        organization_id, task_execution_id, flow_execution_id, token, worker_id, request_id, length_ms, expire_time,
        timeout_time, heartbeat_time, cancel_requested
      )
      select ${organizationId}::uuid, l."taskExecutionId", l."flowExecutionId", l.token, l."workerId", l."requestId",
        l."lengthMs", clock_timestamp() + l."lengthMs" * interval '1 millisecond',
        clock_timestamp() + l."timeoutMs" * interval '1 millisecond', clock_timestamp(), false
      from json_to_recordset(${JSON.stringify(given)}::json) as l(
        "taskExecutionId" uuid, "flowExecutionId" uuid, token bigint, "workerId" text, "requestId" text,
        "lengthMs" integer, "timeoutMs" double precision
      )
    `.execute(em.getKysely());
  }
}

/**
 * Brings back the leases of running records that were deleted, as such that ran out long ago: their workers are lost,
 * and the attempts end like those of any lost worker.
 *
 * @param condition which records, as `t`
 */
export async function restoreLeases(
  em: EntityManager,
  organizationId: string,
  condition: RawBuilder<unknown>,
): Promise<void> {
  await sql`
    insert into task_lease (
      organization_id, task_execution_id, flow_execution_id, token, worker_id, request_id, length_ms, expire_time,
      timeout_time, heartbeat_time, cancel_requested
    )
    select t.organization_id, t.id, t.flow_execution_id, t.lease_token, '', '', 1, clock_timestamp() - interval '1 day',
      null, clock_timestamp(), f.cancel_time is not null
    from task_execution as t
    join flow_execution as f on f.organization_id = t.organization_id and f.id = t.flow_execution_id
    where t.organization_id = ${organizationId} and ${condition} and t.status = 'running' and t.lease_token is not null
    on conflict on constraint task_lease_pkey do nothing
  `.execute(em.getKysely());
}
