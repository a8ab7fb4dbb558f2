import type { Caller } from "../auth/caller.ts";
import type { LedgerError } from "../errors.ts";
import type { LifecycleEvent, LiveStatus, ReportStatus, Status } from "./lifecycle.ts";

/** What an entry of the event log is about. */
export type EventType = "create" | LifecycleEvent | "amend" | "tag";

/** The fields that hold payloads, as canonical JSON text. */
export const payloadFields = ["input", "output", "error"] as const;
export type PayloadField = (typeof payloadFields)[number];

/** A report about the record with a key, which it creates or moves on. */
export interface Report {
  readonly type: "report";
  readonly flowExecutionId: string;
  readonly taskName: string;
  readonly taskExecutionIdx: number;
  readonly status: ReportStatus;
  readonly payloads: Partial<Readonly<Record<PayloadField, string>>>;
  readonly startTime?: Date | undefined;
  readonly endTime?: Date | undefined;
}

/** New content for a record; null erases. */
export interface Amendment {
  readonly type: "amend";
  readonly id: string;
  readonly etag: string;
  readonly reason: string;
  readonly payloads: Partial<Readonly<Record<PayloadField, string | null>>>;
}

/** A step of the lifecycle that a person asks for. An empty etag means: whatever it is now. */
export interface Step {
  readonly type: "cancel" | "delete" | "undelete";
  readonly id: string;
  readonly etag: string;
  readonly reason: string;
}

/** Adds or removes one tag. */
export interface Tagging {
  readonly type: "tag";
  readonly id: string;
  readonly action: "add" | "remove";
  readonly tag: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A change of one task execution. */
export type Change = Report | Amendment | Step | Tagging;

/** Who makes changes, for `modified_by` and the event log. */
export interface Author {
  readonly caller: Caller;
  readonly requestId: string;
}

/** A tag as it is stored; `metadata` is JSON text. */
export interface TagRow {
  readonly tag: string;
  readonly metadata: string;
}

/**
 * A record while it is being changed.
 *
 * A payload is undefined if it was not loaded, and "" if it is stored and cannot be what the change
 * holds, because its length is another: no payload has an empty text.
 */
export interface TaskRecord {
  readonly id: string;
  readonly organizationId: string;
  readonly flowExecutionId: string;
  readonly flowId: string;
  readonly taskName: string;
  readonly taskExecutionIdx: number;
  status: Status;
  statusBeforeDelete: LiveStatus | null;
  edited: boolean;
  etag: number;
  modifiedBy: string;
  readonly createTime: Date;
  updateTime: Date;
  startTime: Date | null;
  endTime: Date | null;
  deleteTime: Date | null;
  input?: string | null;
  output?: string | null;
  error?: string | null;
  tags: TagRow[];
}

/** What a change did to a record. */
export type ChangeOutcome = "created" | "updated" | "unchanged";

/** The answer to one change: the record after it and what it did, or why it was refused. */
export type ChangeResult =
  | { readonly record: TaskRecord; readonly outcome: ChangeOutcome }
  | { readonly refused: LedgerError };
