import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import type { TaskRecord } from "./changes.ts";

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
  readonly restored: readonly TaskRecord[];
}

/** Stores what becomes of leases. The runs of the tasks must be locked. */
export async function changeLeases(
  em: EntityManager,
  organizationId: string,
  { given, dropped, cancelled, restored }: LeaseChanges,
): Promise<void> {
  if (dropped.size > 0) {
    await sql`
      delete from task_lease
      where organization_id = ${organizationId} and task_execution_id = any(${[...dropped]}::uuid[])
    `.execute(em.getKysely());
  }
  if (cancelled.size > 0) {
    await sql`
      update task_lease
      set cancel_requested = true
      where organization_id = ${organizationId} and task_execution_id = any(${[...cancelled]}::uuid[])
    `.execute(em.getKysely());
  }
  const lost = restored.map(({ id, flowExecutionId, leaseToken }) => ({
    taskExecutionId: id,
    flowExecutionId,
    token: leaseToken,
    workerId: "",
    requestId: "",
    lengthMs: 1,
    timeoutMs: 0,
  }));
  const leases = [...given, ...lost];
  if (leases.length > 0) {
    await sql`
      insert into task_lease (
        organization_id, task_execution_id, flow_execution_id, token, worker_id, request_id, length_ms, expire_time,
        timeout_time, heartbeat_time, cancel_requested
      )
      select ${organizationId}::uuid, l."taskExecutionId", l."flowExecutionId", l.token, l."workerId", l."requestId",
        l."lengthMs", clock_timestamp() + l."lengthMs" * interval '1 millisecond',
        clock_timestamp() + l."timeoutMs" * interval '1 millisecond', clock_timestamp(), false
      from json_to_recordset(${JSON.stringify(leases)}::json) as l(
        "taskExecutionId" uuid, "flowExecutionId" uuid, token bigint, "workerId" text, "requestId" text,
        "lengthMs" integer, "timeoutMs" double precision
      )
    `.execute(em.getKysely());
  }
}
