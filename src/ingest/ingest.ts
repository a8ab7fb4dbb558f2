import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  type IngestTaskExecutionsResponse_Acknowledgement as Acknowledgement,
  IngestTaskExecutionsResponse_AcknowledgementSchema as AcknowledgementSchema,
  type CreateTaskExecutionRequest,
  CreateTaskExecutionRequestSchema,
  type IngestTaskExecutionsRequest,
  type IngestTaskExecutionsResponse,
  IngestTaskExecutionsResponseSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { toLedgerError } from "../db/sql-state.ts";
import { invalidField, LedgerError, problemCodes } from "../errors.ts";
import { internal } from "../server/error-shape.ts";
import { draining } from "../server/framework-error.ts";
import { parseItem, toReportResult } from "../task-execution/batch.ts";
import type { Author, ChangeResult, Report } from "../task-execution/changes.ts";
import type { CoalescedWrites } from "../task-execution/coalesced-writes.ts";
import { fromCreateRequest } from "../task-execution/task-execution.message.ts";
import { Bell } from "../watch/bell.ts";
import type { IngestLimits } from "./ingest-limits.ts";
import type { IngestRoom } from "./ingest-room.ts";
import { IngestWindow } from "./ingest-window.ts";

/** What ingest streams take from outside. */
export interface IngestDeps {
  /** Takes each item by itself; what arrives together is written together behind it. */
  readonly writes: Pick<CoalescedWrites, "apply">;
  readonly room: IngestRoom;
  readonly limits: IngestLimits;
  /** Fires when the service shuts down. */
  readonly closing: AbortSignal;
  /** Is told of an item that could not be written for a reason that the caller may not know. */
  readonly onDefect: (error: unknown, requestId: string) => void;
}

/** Who sends items. */
export interface IngestCall {
  readonly author: Author;
  /** Aborts when the stream is over, however it ended. */
  readonly signal: AbortSignal;
  /** Throws if the credential is not valid any more. */
  readonly recheck: () => Promise<void>;
}

/**
 * Writes items as they arrive and acknowledges each: see IngestTaskExecutions.
 *
 * No item waits for another, but for one with the same key. What is done in the same turn goes into one message.
 */
export async function* ingest(
  deps: IngestDeps,
  call: IngestCall,
  requests: AsyncIterable<IngestTaskExecutionsRequest>,
): AsyncGenerator<IngestTaskExecutionsResponse> {
  yield* new IngestStream(deps, call).run(requests);
}

/** An acknowledgement that was not taken yet. */
interface Done {
  readonly acknowledgement: Acknowledgement;
  readonly bytes: number;
}

class IngestStream {
  readonly #deps: IngestDeps;
  readonly #call: IngestCall;
  readonly #window: IngestWindow;
  /** Rings when there is something to say. */
  readonly #bell = new Bell();
  /** Rings when there may be room for items again. */
  readonly #roomBell = new Bell();
  /** By its key, the last item of each record that is not settled. */
  readonly #last = new Map<string, Promise<void>>();
  readonly #done: Done[] = [];
  /** What the message holds that the client is about to take. */
  #sending: Done[] = [];
  #inFlight = 0;
  #isTaking = true;
  /** Why the stream ends, if it does not end well. */
  #failure: unknown;
  /** Whether an item was given up. Then none is begun any more: it could overtake an earlier one of its key. */
  #isLost = false;
  /** Ends when the service may be less busy. Until then no item is begun. */
  #pause: Promise<void> | undefined;

  constructor(deps: IngestDeps, call: IngestCall) {
    this.#deps = deps;
    this.#call = call;
    const { organizationId } = call.author.caller;
    const share = deps.room.join(organizationId, this.#roomBell.ring, call.signal);
    this.#window = new IngestWindow(deps.limits, share, this.#roomBell);
  }

  async *run(
    requests: AsyncIterable<IngestTaskExecutionsRequest>,
  ): AsyncGenerator<IngestTaskExecutionsResponse> {
    this.#watchForTheEnd();
    void this.#take(requests);
    while (!this.#call.signal.aborted) {
      this.#bell.reset();
      if (this.#done.length > 0) {
        this.#sending = this.#nextGroup();
        const acknowledgements = this.#sending.map(({ acknowledgement }) => acknowledgement);
        yield create(IngestTaskExecutionsResponseSchema, { acknowledgements });
        this.#release(this.#sending);
      } else if (this.#isTaking || this.#inFlight > 0) {
        await this.#bell.wait();
        // Whatever else is done in this turn goes along.
        await nextTurn();
      } else if (this.#failure === undefined) {
        return;
      } else {
        throw this.#failure;
      }
    }
  }

  /** Ends the stream when the service shuts down, the credential is not valid any more, or the client is gone. */
  #watchForTheEnd(): void {
    const { closing, limits } = this.#deps;
    const { signal, recheck } = this.#call;
    const onClosing = () => this.#stop(draining());
    if (closing.aborted) onClosing();
    closing.addEventListener("abort", onClosing, { once: true, signal });
    const timer = setInterval(
      () => recheck().catch((error: unknown) => this.#stop(error)),
      limits.recheckMs,
    ).unref();
    // Not when the iterator ends: a generator that waits in `yield` does not notice that its client is gone.
    const onEnd = () => {
      clearInterval(timer);
      this.#lose(signal.reason);
      this.#release(this.#sending);
      this.#release(this.#done);
    };
    signal.addEventListener("abort", onEnd, { once: true });
  }

  /** Takes no more items, if it has not stopped already. Those that were taken are still acknowledged. */
  #stop(failure?: unknown): void {
    if (this.#isTaking) {
      this.#isTaking = false;
      this.#failure = failure;
      this.#bell.ring();
      this.#roomBell.ring();
    }
  }

  /** Gives up an item, and with it the stream. */
  #lose(failure: unknown): void {
    this.#stop(failure);
    this.#failure ??= failure;
    this.#isLost = true;
  }

  /** Reads items, no faster than they are done. */
  async #take(requests: AsyncIterable<IngestTaskExecutionsRequest>): Promise<void> {
    let last: bigint | undefined;
    try {
      for await (const item of requests) {
        if (!this.#isTaking) return;
        if (last !== undefined && item.sequenceNumber <= last) throw outOfOrder(item.sequenceNumber, last);
        last = item.sequenceNumber;
        this.#begin(item);
        while (this.#isTaking && !this.#window.hasRoom) await this.#window.wait();
        while (this.#isTaking && this.#pause) await this.#pause;
      }
      this.#stop();
    } catch (error) {
      this.#stop(error);
    }
  }

  #begin({ sequenceNumber, request }: IngestTaskExecutionsRequest): void {
    const report = this.#parse(request ?? create(CreateTaskExecutionRequestSchema));
    const bytes = this.#deps.limits.itemBytes + (report instanceof LedgerError ? 0 : payloadBytesOf(report));
    this.#window.take(bytes);
    this.#inFlight++;
    if (report instanceof LedgerError) {
      void this.#answer(sequenceNumber, bytes, async () => ({ refused: report }));
      return;
    }
    const key = `${report.flowExecutionId}/${report.taskExecutionIdx}/${report.taskName}`;
    const before = this.#last.get(key);
    const answered = this.#answer(sequenceNumber, bytes, async () => {
      if (before !== undefined) await before;
      return this.#untilSettled(report);
    }).finally(() => {
      if (this.#last.get(key) === answered) this.#last.delete(key);
    });
    this.#last.set(key, answered);
  }

  #parse(request: CreateTaskExecutionRequest): Report | LedgerError {
    try {
      return parseItem(CreateTaskExecutionRequestSchema, request, fromCreateRequest);
    } catch (error) {
      return this.#explain(error);
    }
  }

  /** Acknowledges an item when it is settled, or gives it up. Never rejects. */
  async #answer(
    sequenceNumber: bigint,
    itemBytes: number,
    settle: () => Promise<ChangeResult>,
  ): Promise<void> {
    try {
      const result = toReportResult(await settle(), this.#call.author.requestId);
      const acknowledgement = create(AcknowledgementSchema, { sequenceNumber, result });
      if (this.#call.signal.aborted) {
        this.#window.release(itemBytes);
      } else {
        const bytes = this.#deps.limits.itemBytes + detailBytesOf(acknowledgement);
        this.#window.replace(itemBytes, bytes);
        this.#done.push({ acknowledgement, bytes });
      }
    } catch (error) {
      // Not acknowledged: the caller sends it again.
      this.#lose(error);
      this.#window.release(itemBytes);
    }
    this.#inFlight--;
    this.#bell.ring();
  }

  /**
   * Writes an item, again if that can help: who sends it hears of it when it is settled, one way or the other.
   *
   * While the service is too busy nothing else is begun either. An item that others keep in the way of waits alone.
   *
   * @throws LedgerError if it can still not be written after a while, or the database is away
   */
  async #untilSettled(report: Report): Promise<ChangeResult> {
    const giveUp = performance.now() + this.#deps.limits.retryMs;
    for (;;) {
      while (this.#pause) await this.#pause;
      if (this.#isLost) throw this.#failure;
      const result = await this.#apply(report);
      const trouble = "refused" in result ? troubleOf(result.refused) : undefined;
      if (trouble === undefined) {
        return result;
      }
      const { code, error } = trouble;
      const { retryAfterMs } = error.facts;
      const isOver = this.#failure !== undefined || performance.now() >= giveUp;
      if (isOver || code === Code.Unavailable || retryAfterMs === undefined) {
        throw error;
      }
      if (code === Code.ResourceExhausted) {
        this.#pause ??= sleep(retryAfterMs).then(() => {
          this.#pause = undefined;
        });
      } else {
        await sleep(retryAfterMs);
      }
    }
  }

  async #apply(report: Report): Promise<ChangeResult> {
    const { author, signal } = this.#call;
    try {
      const [result] = await this.#deps.writes.apply({
        author,
        changes: [report],
        timeoutMs: undefined,
        signal,
      });
      return result!;
    } catch (error) {
      return { refused: this.#explain(error) };
    }
  }

  /** Returns what the caller may know of what was thrown. */
  #explain(error: unknown): LedgerError {
    const known = error instanceof LedgerError ? error : toLedgerError(error);
    if (known === undefined) this.#deps.onDefect(error, this.#call.author.requestId);
    return known ?? internal(error);
  }

  #release(done: Done[]): void {
    for (const { bytes } of done.splice(0)) this.#window.release(bytes);
  }

  /** Takes as many acknowledgements as fit a message, at least one. */
  #nextGroup(): Done[] {
    const { acknowledgementsPerMessage, messageBytes } = this.#deps.limits;
    let bytes = 0;
    const end = this.#done.findIndex((done, index) => {
      bytes += done.bytes;
      return index === acknowledgementsPerMessage || (index > 0 && bytes > messageBytes);
    });
    return this.#done.splice(0, end === -1 ? this.#done.length : end);
  }
}

/** Returns what was wrong with the service, and not with the item, if that was it. */
function troubleOf(error: LedgerError): { readonly code: Code; readonly error: LedgerError } | undefined {
  const code = problemCodes[error.problem];
  const isTrouble =
    code === Code.Unavailable || code === Code.DeadlineExceeded || error.facts.retryAfterMs !== undefined;
  return isTrouble ? { code, error } : undefined;
}

function payloadBytesOf({ payloads: { input = "", output = "", error = "" } }: Report): number {
  return input.length + output.length + error.length;
}

/** Returns how large the parts of an acknowledgement are that may be large. */
function detailBytesOf({ result }: Acknowledgement): number {
  if (result.case === "error") {
    return result.value.details.reduce((sum, { value }) => sum + value.length, 0);
  }
  const tags = result.value?.taskExecution?.tags ?? [];
  return tags.reduce((sum, { tag, metadata }) => sum + tag.length + JSON.stringify(metadata).length, 0);
}

function outOfOrder(sequenceNumber: bigint, last: bigint): LedgerError {
  return invalidField(
    "sequence_number",
    `${sequenceNumber} is not greater than ${last}, that of the item before; number the items of a stream in ` +
      "ascending order, and send what is not acknowledged in a new stream",
  );
}
