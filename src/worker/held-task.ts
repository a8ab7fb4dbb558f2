import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { durationMs, ValueSchema } from "@bufbuild/protobuf/wkt";
import type { ClaimedTaskExecution } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { Interruption, type InterruptionKind, type Task } from "./task.ts";

/** Timers of 2^31 ms and more fire at once. */
const longestTimerMs = 2 ** 31 - 1;
/** How soon progress is sent after the last heartbeat. */
const progressMs = 1000;

/** When a claim was sent and when its answer came, by the monotonic clock. */
export interface Span {
  readonly sentAt: number;
  readonly receivedAt: number;
}

/** What was said last of how far a task is. */
interface Progress {
  readonly fraction: number;
  readonly message: string;
}

/**
 * A task that the worker holds, and until when: by the worker's own monotonic clock, reckoned from before the
 * question was sent, so that it never believes in a lease longer than the service does.
 */
export class HeldTask {
  readonly task: Task;
  readonly executor: string;
  /** Settles when the worker does not wait for the executor any longer. */
  readonly abandoned: Promise<void>;
  readonly abandon: () => void;
  readonly #controller = new AbortController();
  readonly #safetyMs: number;
  readonly #timeoutAt: number;
  #leaseMs: number;
  #leaseEnd: number;
  #lastBeat: number;
  #nextBeat: number;
  #timer: NodeJS.Timeout | undefined;
  #progress: Progress | undefined;
  #isClosed = false;

  /**
   * @param safetyMs how long before the end of the lease it is interrupted
   * @param onProgress is told when there is news, which the next heartbeat takes along
   */
  constructor(
    claimed: ClaimedTaskExecution,
    { sentAt, receivedAt }: Span,
    safetyMs: number,
    onProgress: () => void,
  ) {
    const { taskExecution, token, lease, timeout, executor } = claimed;
    const { id, flowExecutionId, taskName, attempt, iteration, input } = taskExecution!;
    this.executor = executor;
    this.task = {
      id,
      token,
      flowExecutionId,
      name: taskName,
      attempt,
      iteration,
      input: input && (toJson(ValueSchema, input) as JsonValue),
      signal: this.#controller.signal,
      progress: (fraction, message = "") => {
        this.#progress = { fraction, message };
        this.#nextBeat = Math.min(this.#nextBeat, this.#lastBeat + progressMs);
        onProgress();
      },
    };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.abandoned = promise;
    this.abandon = resolve;
    this.#leaseMs = lease ? durationMs(lease) : 0;
    this.#safetyMs = Math.min(safetyMs, this.#leaseMs / 4);
    this.#timeoutAt = timeout ? sentAt + durationMs(timeout) : Number.POSITIVE_INFINITY;
    // A claim that waited may be given its lease at any time before the answer. Then the first heartbeat is
    // due at once, and tells.
    this.#leaseEnd = receivedAt + this.#leaseMs;
    this.#lastBeat = sentAt;
    this.#nextBeat = sentAt + this.#beatMs;
    this.#arm();
  }

  /** When the next heartbeat is due. */
  get nextBeat(): number {
    return this.#nextBeat;
  }

  /** Until when the lease lasts if nothing is heard any more. */
  get leaseEnd(): number {
    return this.#leaseEnd;
  }

  /** Why it was interrupted first, if it was. */
  get interruption(): InterruptionKind | undefined {
    const { signal } = this.#controller;
    return signal.aborted ? (signal.reason as Interruption).kind : undefined;
  }

  /** Returns what is new of how far it is. */
  takeProgress(): Progress | undefined {
    const progress = this.#progress;
    this.#progress = undefined;
    return progress;
  }

  /** A heartbeat was sent, and the lease lasts its full length from then, or a little longer. */
  keep(sentAt: number, remainingMs: number): void {
    // What remains is less when the attempt's timeout is near: the lease itself is never shortened.
    this.#leaseMs = Math.max(this.#leaseMs, remainingMs);
    this.#leaseEnd = sentAt + this.#leaseMs;
    this.#lastBeat = sentAt;
    this.#nextBeat = sentAt + this.#beatMs;
    this.#arm();
  }

  /** A heartbeat did not get through. */
  postpone(until: number): void {
    this.#nextBeat = until;
  }

  /** Tells the executor to stop. */
  interrupt(kind: InterruptionKind): void {
    if (!this.#controller.signal.aborted) this.#controller.abort(new Interruption(kind));
  }

  /** The worker does not hold it any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  get #beatMs(): number {
    return this.#leaseMs / 3;
  }

  /** Watches the end of the lease and of the attempt. */
  #arm(): void {
    clearTimeout(this.#timer);
    // The answer to a heartbeat may come after that to the report.
    if (this.#isClosed) return;
    const end = Math.min(this.#leaseEnd - this.#safetyMs, this.#timeoutAt);
    const left = end - performance.now();
    if (left <= 0) {
      this.interrupt(this.#timeoutAt <= end ? "timeout" : "lease-lost");
      return;
    }
    this.#timer = setTimeout(() => this.#arm(), Math.min(Math.ceil(left), longestTimerMs));
  }
}
