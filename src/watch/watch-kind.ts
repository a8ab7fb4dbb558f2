import type { Message } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import type { EntityManager } from "@mikro-orm/postgresql";
import type { RunView } from "../flow-execution/flow-execution.message.ts";
import type { PageScope } from "../page-token/seal.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import { isEnded } from "../task-execution/run-status.ts";
import type { FeedEntry } from "./feed-statements.ts";
import type { Places } from "./places.ts";
import type { Found } from "./snapshot-statements.ts";

/** Why everything is told anew. */
export type ResyncReason = "token too old" | "undeleted";

/** Something that is to be told, and how large it is, about. */
export interface Picked<Item> {
  readonly items: readonly Item[];
  readonly bytes: number;
}

/** Some of what there is, and after which id the next ones come: undefined if these are the last ones. */
export interface SnapshotPage<Item> {
  readonly items: readonly Item[];
  readonly after: string | undefined;
}

/** What one message tells. */
export type Told<Change> =
  | { readonly case: "snapshot" | "changes"; readonly changes: Change[] }
  | { readonly case: "synced" | "keepalive" }
  | { readonly case: "resync"; readonly reason: ResyncReason }
  | { readonly case: "end"; readonly run: RunView };

/** Reads the database. */
export type Read = <T>(make: (em: EntityManager) => Promise<T>) => Promise<T>;

/** A watch of something, as it was asked for: what it tells, and how. It holds no state. */
export interface WatchKind<Item, Change, Response extends Message> {
  /** What its messages are. */
  readonly desc: GenMessage<Response>;
  /** What the resume token belongs to. */
  readonly scope: PageScope;
  /** The same for watches that tell the same. */
  readonly key: string;
  /** The one run that is watched. */
  readonly runId: string | undefined;
  readonly flowId: string | undefined;
  /** Returns what an entry of the feed means for this watch: undefined if nothing, "resync" if all is to be told anew. */
  pick(entry: FeedEntry): Picked<Item> | "resync" | undefined;
  /** Reads some of what there is, as far as it has not changed since it was at the places: that comes as changes. */
  readSnapshot(em: EntityManager, places: Places, after: string): Promise<SnapshotPage<Item>>;
  /** Converts what is to be told; leaves out what has changed again meanwhile, and so is told later. */
  toChanges(items: readonly Item[], read: Read): Promise<Change[]>;
  toResponse(resumeToken: string, told: Told<Change>): Response;
}

/**
 * Returns the part of what was found that fits into one message; at least one item, if there is any.
 *
 * @param most how many were asked for: if fewer were found, they are the last ones
 */
export function pageOf<State, Item>(
  found: readonly Found<State>[],
  { after, most, bytes }: { readonly after: string; readonly most: number; readonly bytes: number },
  bytesOf: (state: State) => number,
  toItem: (state: State, revision: bigint) => Item,
): SnapshotPage<Item> {
  const items: Item[] = [];
  let sum = 0;
  let last = after;
  for (const { id, revision, state } of found) {
    if (state !== undefined) {
      sum += bytesOf(state);
      if (items.length > 0 && sum > bytes) {
        return { items, after: last };
      }
      items.push(toItem(state, revision));
    }
    last = id;
  }
  return { items, after: found.length < most ? undefined : last };
}

/** Returns the predicate of the statuses that a watch shows: those asked for, or all; never what is deleted. */
export function showsStatus(statuses: readonly Status[]): (status: Status) => boolean {
  return (status) => status !== "deleted" && (statuses.length === 0 || statuses.includes(status));
}

/** Reports whether nothing more is to come of a run by itself. */
export function isOver({ status, queuedTasks, runningTasks }: RunView): boolean {
  return status === "deleted" || (isEnded(status) && queuedTasks + runningTasks === 0);
}
