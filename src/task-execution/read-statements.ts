import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import { kept } from "../db/statement.ts";
import type { FoundRecord, RecordKey } from "./read-path.ts";
import { joinById, joinByKey, recordColumns, toRecord } from "./record-statements.ts";
import { TaskLease } from "./task-lease.entity.ts";

/** Returns the records with ids or keys, with payloads and tags, and who holds them; undefined for what is not there. */
export async function findRecords(
  em: EntityManager,
  organizationId: string,
  lookups: readonly ({ readonly id: string } | RecordKey)[],
): Promise<(FoundRecord | undefined)[]> {
  const asked = lookups.map((lookup, n) => ({ n, ...lookup }));
  const columns = recordColumns(sql`t.input, t.output, t.error`);
  const { rows } = await sql<{ n: number }>`${kept("read_records")}
    select k.n, ${columns}
    from json_to_recordset(${JSON.stringify(asked.filter((lookup) => "id" in lookup))}::json) as k(n integer, id uuid)
    ${joinById(organizationId)}
    union all
    select k.n, ${columns}
    from json_to_recordset(${JSON.stringify(asked.filter((lookup) => !("id" in lookup)))}::json) as k(
      n integer, "flowExecutionId" uuid, "taskName" text, "taskExecutionIdx" integer
    )
    ${joinByKey(organizationId)}
  `.execute(em.getKysely());
  const records = new Map(rows.map((row) => [row.n, toRecord(row)]));
  const held = [...records.values()].filter(
    ({ status, leaseToken }) => status === "running" && leaseToken !== null,
  );
  const leases =
    held.length > 0 ? await em.find(TaskLease, { taskExecutionId: { $in: held.map(({ id }) => id) } }) : [];
  const leaseOf = new Map(leases.map((lease) => [lease.taskExecutionId, lease]));
  return lookups.map((_, n) => {
    const record = records.get(n);
    return record && { ...record, lease: leaseOf.get(record.id) ?? null };
  });
}
