import type { JsonValue } from "@bufbuild/protobuf";

/** One attempt of a task, as its executor sees it. */
export interface Task {
  /** The id of its record. With the token it is a key by which effects outside can be made once only. */
  readonly id: string;
  /** The fencing token: a later attempt has a higher one. */
  readonly token: bigint;
  readonly flowExecutionId: string;
  /** The name of the task in its flow. */
  readonly name: string;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** The index of the item, from 0, if the task is a loop. */
  readonly iteration: number | undefined;
  /** What the task is asked; undefined for nothing. */
  readonly input: JsonValue | undefined;
  /** Fires when the executor has to stop; its reason is an {@link Interruption}. */
  readonly signal: AbortSignal;
  /** Says how far it is, from 0 to 1, and for people what it is doing. It goes with a heartbeat, within about a second. */
  progress(fraction: number, message?: string): void;
}

/**
 * Does a task, and returns its output: any JSON value, or undefined for none.
 *
 * What it throws fails the attempt; {@link TaskFailure} says more about a failure than other errors. When the
 * signal fires it should stop and throw, best the signal's reason. An output that it returns in spite of the
 * signal is reported all the same.
 */
export type Executor = (task: Task) => unknown;

/** How a failure differs from others. */
export interface FailureOptions {
  /** The kind of failure, for programs: what `non_retryable` of a retry policy names. Otherwise the name of the error. */
  readonly type?: string;
  /** False if another attempt cannot help. Otherwise the retry policy says. */
  readonly retryable?: boolean;
  /** How long to wait at least before another attempt, up to a day. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** An error by which an executor says more about its failure. */
export class TaskFailure extends Error {
  override readonly name: string;
  readonly retryable: boolean | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    { type = "TaskFailure", retryable, retryAfterMs, cause }: FailureOptions = {},
  ) {
    super(message, { cause });
    this.name = type;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Why a task is interrupted. */
export type InterruptionKind =
  /** The lease was lost, or could not be kept: somebody else may be at it already. */
  | "lease-lost"
  /** Somebody cancelled the task. If the executor throws, it is reported cancelled. */
  | "cancel-requested"
  /** The attempt has taken as long as it may. */
  | "timeout"
  /** The worker stops. If the executor throws, the task is handed back, and another attempt follows. */
  | "stopping";

const messages: Readonly<Record<InterruptionKind, string>> = {
  "lease-lost": "the lease of the task is lost",
  "cancel-requested": "the task is to be cancelled",
  timeout: "the attempt took longer than its timeout",
  stopping: "the worker is stopping",
};

/** The reason of a task's signal. */
export class Interruption extends Error {
  override readonly name = "Interruption";
  readonly kind: InterruptionKind;

  constructor(kind: InterruptionKind) {
    super(messages[kind]);
    this.kind = kind;
  }
}
