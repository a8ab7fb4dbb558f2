import type { Caller } from "../auth/caller.ts";
import type { LedgerError } from "../errors.ts";
import type { LifecycleEvent, LiveStatus, ReportStatus, Status } from "./lifecycle.ts";

/** What an entry of the event log is about. */
export type EventType =
  | "create"
  | LifecycleEvent
  | "amend"
  | "tag"
  | "request_cancel"
  | "late_result"
  | "adopt"
  | "re_execute";

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
  /** Whether what becomes stale is executed anew. */
  readonly executeFlow: boolean;
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

/** What a worker hands in for the task that it holds. Payloads are canonical JSON text. */
export interface WorkReport {
  readonly type: "work";
  readonly id: string;
  /** The token of the claim, a decimal number. */
  readonly token: string;
  readonly result: WorkResult;
}

/** What came of a task at a worker. */
export type WorkResult =
  | { readonly status: "completed"; readonly output: string | undefined }
  | {
      readonly status: "failed";
      readonly error: string;
      /** The type within `error`. */
      readonly errorType: string;
      readonly retryable: boolean;
      readonly retryAfterMs: number;
      /** Whether the worker stopped before the task was done: that is nobody's failure. */
      readonly isInterruption?: boolean;
    }
  | { readonly status: "cancelled" };

/**
 * Ends the attempt of a worker that is not heard of any more, or that took too long. Its lease was found due under
 * the lock of its run, in the same transaction.
 */
export interface Expiry {
  readonly type: "expire";
  readonly id: string;
  readonly timedOut: boolean;
}

/** Makes a result that came too late the output of its task. */
export interface Adoption {
  readonly type: "adopt";
  readonly id: string;
  readonly reason: string;
}

/** A change of one task execution. */
export type Change = Report | Amendment | Step | Tagging | WorkReport | Expiry | Adoption;

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
  readonly attempt: number;
  readonly iteration: number | null;
  readonly generation: number;
  readonly interruptions: number;
  /** Which workers may claim it. Null if nobody may, in a run of an outside engine. */
  readonly executor: string | null;
  readonly claimRank: number | null;
  readonly availableTime: Date | null;
  /** The token of its claim, a decimal number. */
  leaseToken: string | null;
  outdateOnEnd: boolean;
  /** Whether the worker that holds it is asked to stop. Not loaded by lists. */
  cancelRequested?: boolean;
}

/** What a change did to a record. */
export type ChangeOutcome = "created" | "updated" | "unchanged";

/** The answer to one change: the record after it and what it did, or why it was refused. */
export type ChangeResult =
  | {
      readonly record: TaskRecord;
      readonly outcome: ChangeOutcome;
      /** What became stale by it, upstream before downstream. */
      readonly outdated?: readonly TaskRecord[];
    }
  | { readonly refused: LedgerError };
