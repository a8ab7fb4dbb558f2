import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { kept } from "../db/statement.ts";

// Every time in here is the database's: the clocks of servers and workers decide nothing.

/** A lease as its worker is told. */
export interface HeldLease {
  readonly taskExecutionId: string;
  readonly token: string;
  readonly expireTime: Date;
  readonly remainingMs: number;
  readonly timeoutMs: number | null;
}

/** Returns the leases that a claim was given and that are still held, or those of the given tasks. */
export async function findLeases(
  em: EntityManager,
  organizationId: string,
  of: { readonly requestId: string } | { readonly taskExecutionIds: readonly string[] },
): Promise<HeldLease[]> {
  const [name, condition] =
    "requestId" in of
      ? [
          kept("find_leases_of_request"),
          sql`l.request_id = ${of.requestId} and l.expire_time > clock_timestamp()`,
        ]
      : [kept("find_leases"), sql`l.task_execution_id = any(${[...of.taskExecutionIds]}::uuid[])`];
  const { rows } = await sql<Omit<HeldLease, "expireTime"> & { expireTime: string }>`${name}
    select l.task_execution_id as "taskExecutionId", l.token::text, l.expire_time as "expireTime",
      extract(epoch from l.expire_time - clock_timestamp())::float8 * 1000 as "remainingMs",
      extract(epoch from l.timeout_time - clock_timestamp())::float8 * 1000 as "timeoutMs"
    from task_lease as l
    where l.organization_id = ${organizationId} and ${condition}
  `.execute(em.getKysely());
  return rows.map((row) => ({ ...row, expireTime: new Date(row.expireTime) }));
}

/** Why an attempt is ended without its worker. */
export interface DueLease {
  readonly taskExecutionId: string;
  readonly timedOut: boolean;
}

/** Locks those of some leases that are due, and says why. The runs of the tasks must be locked. */
export async function lockDueLeases(
  em: EntityManager,
  organizationId: string,
  ids: readonly string[],
  graceMs: number,
): Promise<DueLease[]> {
  const { rows } = await sql<DueLease>`
    select task_execution_id as "taskExecutionId", coalesce(timeout_time <= clock_timestamp(), false) as "timedOut"
    from task_lease
    where organization_id = ${organizationId} and task_execution_id = any(${[...ids]}::uuid[])
      and (
        expire_time + ${graceMs} * interval '1 millisecond' <= clock_timestamp() or timeout_time <= clock_timestamp()
      )
    order by task_execution_id
    for update
  `.execute(em.getKysely());
  return rows;
}

/** A sign of life: a lease, its token as a decimal number, and JSON text of how far the worker is. */
export interface Beat {
  readonly id: string;
  readonly token: string;
  readonly progress: string | null;
}

/** A lease that was kept. */
export interface KeptLease {
  readonly id: string;
  readonly token: string;
  readonly remainingMs: number;
  readonly cancelRequested: boolean;
}

/**
 * Keeps leases, and returns those that were not lost.
 *
 * The rows are locked first, in order, and the new end is reckoned afterwards: a lease that waits for a lock
 * still lasts its full length.
 */
export async function keepLeases(
  em: EntityManager,
  organizationId: string,
  beats: readonly Beat[],
  graceMs: number,
): Promise<KeptLease[]> {
  const { rows } = await sql<KeptLease>`${kept("keep_leases")}
    with
      beat as materialized (
        select *
        from json_to_recordset(${JSON.stringify(beats)}::json) as b(id uuid, token bigint, progress text)
      ),
      held as materialized (
        select l.task_execution_id as id, b.progress
        from task_lease as l
        join beat as b on b.id = l.task_execution_id and b.token = l.token
        where l.organization_id = ${organizationId}
        order by l.task_execution_id
        for update of l
      )
    update task_lease as l
    set expire_time = clock_timestamp() + l.length_ms * interval '1 millisecond', heartbeat_time = clock_timestamp(),
      progress = coalesce(h.progress, l.progress)
    from held as h
    where l.organization_id = ${organizationId} and l.task_execution_id = h.id
      and l.expire_time + ${graceMs} * interval '1 millisecond' > clock_timestamp()
      and (l.timeout_time is null or l.timeout_time > clock_timestamp())
    returning l.task_execution_id as id, l.token::text, l.cancel_requested as "cancelRequested",
      extract(epoch from least(l.expire_time, l.timeout_time) - clock_timestamp())::float8 * 1000 as "remainingMs"
  `.execute(em.getKysely());
  return rows;
}

/** Where a lease is that has run out. */
export interface DuePlace {
  readonly organizationId: string;
  readonly flowExecutionId: string;
  readonly taskExecutionId: string;
}

/**
 * Returns leases of every organization that have run out, in a fixed order, as far as one page goes.
 *
 * @param em an EntityManager of no organization
 * @param after the last one of the page before
 */
export async function findDueLeases(
  em: EntityManager,
  { graceMs, after, most }: { graceMs: number; after: DuePlace | undefined; most: number },
): Promise<DuePlace[]> {
  const nil = "00000000-0000-0000-0000-000000000000";
  const { rows } = await sql<DuePlace>`
    select organization_id as "organizationId", flow_execution_id as "flowExecutionId",
      task_execution_id as "taskExecutionId"
    from find_due_leases(
      ${graceMs} * interval '1 millisecond', ${after?.organizationId ?? nil}::uuid,
      ${after?.taskExecutionId ?? nil}::uuid, ${most}
    )
  `.execute(em.getKysely());
  return rows;
}
