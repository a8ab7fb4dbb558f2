import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import type { EventType } from "./changes.ts";
import type { Status } from "./lifecycle.ts";

/** An entry of the event log. `revision` is a decimal number. */
export interface EventRow {
  readonly flowExecutionId: string;
  readonly revision: string;
  readonly taskExecutionId: string | null;
  readonly type: EventType;
  readonly fromStatus: Status | null;
  readonly toStatus: Status;
  readonly reason: string;
  /** The record whose change caused this one. */
  readonly causeId: string | null;
  readonly changedFields: string;
}

/** Who makes the changes of a transaction, and when. */
export interface EventActor {
  readonly organizationId: string;
  readonly subject: string;
  readonly kind: string;
  readonly keyName: string;
  readonly requestId: string;
  readonly time: Date;
}

/** Appends to the event log. */
export async function insertEvents(em: EntityManager, actor: EventActor, events: EventRow[]): Promise<void> {
  await sql`
    insert into event (
      organization_id, flow_execution_id, revision, task_execution_id, type, from_status, to_status, actor_subject,
      actor_kind, actor_key_name, reason, request_id, cause_id, changed_fields, create_time
    )
    select ${actor.organizationId}::uuid, e."flowExecutionId", e.revision, e."taskExecutionId", e.type, e."fromStatus",
      e."toStatus", ${actor.subject}, ${actor.kind}, ${actor.keyName}, e.reason, ${actor.requestId}, e."causeId",
      e."changedFields", ${actor.time.toISOString()}::timestamptz
    from json_to_recordset(${JSON.stringify(events)}::json) as e(
      "flowExecutionId" uuid, revision bigint, "taskExecutionId" uuid, type text, "fromStatus" text, "toStatus" text,
      reason text, "causeId" uuid, "changedFields" text
    )
  `.execute(em.getKysely());
}
