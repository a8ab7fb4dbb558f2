import { LedgerError, notFound } from "../errors.ts";
import type { Tagging, TaskRecord } from "./changes.ts";
import type { Decision } from "./decide.ts";

/** How many tags a record may have. */
export const maxTags = 100;

/**
 * Decides a change of tags.
 *
 * @returns undefined if the tag to add is there or the one to remove is not
 * @throws LedgerError NOT_FOUND if the record is deleted; LIMIT_REACHED if it has as many tags as it may
 */
export function decideTagging(record: TaskRecord, { action, tag, metadata }: Tagging): Decision | undefined {
  if (record.status === "deleted") {
    throw notFound("task execution");
  }
  const isThere = record.tags.some((known) => known.tag === tag);
  if (isThere === (action === "add")) {
    return undefined;
  }
  if (action === "add" && record.tags.length >= maxTags) {
    throw new LedgerError(
      "LIMIT_REACHED",
      `a task execution has at most ${maxTags} tags; remove some first`,
      {
        metadata: { limit: String(maxTags) },
      },
    );
  }
  return {
    event: "tag",
    changedFields: ["tags"],
    apply(target) {
      const others = target.tags.filter((known) => known.tag !== tag);
      target.tags =
        action === "remove" ? others : [...others, { tag, metadata: JSON.stringify(metadata) }].sort(byTag);
    },
  };
}

function byTag(a: { tag: string }, b: { tag: string }): number {
  return a.tag < b.tag ? -1 : 1;
}
