import type { EntityManager } from "@mikro-orm/postgresql";
import { sql } from "kysely";
import type { TagRow } from "./changes.ts";

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

/** Returns the tags that changed records gained, and those that they lost. */
export function tagDifferences(
  dirty: readonly {
    readonly record: { id: string; tags: TagRow[] };
    readonly tagsBefore: readonly TagRow[];
  }[],
): [added: { id: string; tag: TagRow }[], removed: { id: string; tag: string }[]] {
  const added: { id: string; tag: TagRow }[] = [];
  const removed: { id: string; tag: string }[] = [];
  for (const { record, tagsBefore } of dirty) {
    for (const tag of record.tags) {
      if (!tagsBefore.includes(tag)) added.push({ id: record.id, tag });
    }
    for (const tag of tagsBefore) {
      if (!record.tags.includes(tag)) removed.push({ id: record.id, tag: tag.tag });
    }
  }
  return [added, removed];
}
