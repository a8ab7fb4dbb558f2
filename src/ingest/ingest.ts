import { setImmediate as nextTurn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  type IngestTaskExecutionsResponse_Acknowledgement as Acknowledgement,
  IngestTaskExecutionsResponse_AcknowledgementSchema as AcknowledgementSchema,
  type CreateTaskExecutionRequest,
  CreateTaskExecutionRequestSchema,
  type IngestTaskExecutionsRequest,
  type IngestTaskExecutionsResponse,
  IngestTaskExecutionsResponseSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { invalidField, LedgerError } from "../errors.ts";
import { internal } from "../server/error-shape.ts";
import { draining } from "../server/framework-error.ts";
import { parseItem, toReportResult } from "../task-execution/batch.ts";
import type { Author, ChangeResult, Report } from "../task-execution/changes.ts";
import { fromCreateRequest } from "../task-execution/task-execution.message.ts";
import { Bell } from "../watch/bell.ts";
import type { IngestLimits } from "./ingest-limits.ts";
import type { IngestRoom } from "./ingest-room.ts";
import { IngestWindow } from "./ingest-window.ts";
import { IngestWriter, type IngestWriterDeps } from "./ingest-writer.ts";

/** What ingest streams take from outside. */
export interface IngestDeps extends IngestWriterDeps {
  readonly room: IngestRoom;
  readonly limits: IngestLimits;
  /** Fires when the service shuts down. */
  readonly closing: AbortSignal;
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
 *
 * @param arrivals the items, those together that arrived together
 */
export async function* ingest(
  deps: IngestDeps,
  call: IngestCall,
  arrivals: AsyncIterable<Iterable<IngestTaskExecutionsRequest>>,
): AsyncGenerator<IngestTaskExecutionsResponse> {
  yield* new IngestStream(deps, call).run(arrivals);
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
  readonly #writer: IngestWriter;
  /** Rings when there is something to say. */
  readonly #bell = new Bell();
  /** Rings when there may be room for items again. */
  readonly #roomBell = new Bell();
  readonly #done: Done[] = [];
  /** What the message holds that the client is about to take. */
  #sending: Done[] = [];
  #inFlight = 0;
  #isTaking = true;
  /** Why the stream ends, if it does not end well. */
  #failure: unknown;

  constructor(deps: IngestDeps, call: IngestCall) {
    this.#deps = deps;
    this.#call = call;
    const { organizationId } = call.author.caller;
    const share = deps.room.join(organizationId, this.#roomBell.ring, call.signal);
    this.#window = new IngestWindow(deps.limits, share, this.#roomBell);
    this.#writer = new IngestWriter(deps, call.author, call.signal, {
      settled: ({ sequenceNumber, bytes }, result) => this.#answer(sequenceNumber, bytes, result),
      lost: ({ bytes }, failure) => this.#lose(bytes, failure),
    });
  }

  async *run(
    arrivals: AsyncIterable<Iterable<IngestTaskExecutionsRequest>>,
  ): AsyncGenerator<IngestTaskExecutionsResponse> {
    this.#watchForTheEnd();
    void this.#take(arrivals);
    while (!this.#call.signal.aborted) {
      this.#bell.reset();
      if (this.#done.length > 0) {
        this.#sending = this.#nextGroup();
        const response = create(IngestTaskExecutionsResponseSchema);
        response.acknowledgements = this.#sending.map(({ acknowledgement }) => acknowledgement);
        yield response;
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
      this.#stop(signal.reason);
      this.#writer.giveUp(signal.reason);
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
      if (failure !== undefined) this.#writer.stop();
      this.#bell.ring();
      this.#roomBell.ring();
    }
  }

  /** Reads items, no faster than they are done. */
  async #take(arrivals: AsyncIterable<Iterable<IngestTaskExecutionsRequest>>): Promise<void> {
    let last: bigint | undefined;
    try {
      for await (const items of arrivals) {
        for (const item of items) {
          if (!this.#isTaking) return;
          if (last !== undefined && item.sequenceNumber <= last) throw outOfOrder(item.sequenceNumber, last);
          last = item.sequenceNumber;
          this.#begin(item);
          if (!this.#window.hasRoom) await this.#waitForRoom();
        }
        this.#writer.flush();
        while (this.#isTaking && this.#writer.pause) await this.#writer.pause;
      }
      this.#stop();
    } catch (error) {
      this.#stop(error);
    } finally {
      this.#writer.flush();
    }
  }

  async #waitForRoom(): Promise<void> {
    this.#writer.flush();
    while (this.#isTaking && !this.#window.hasRoom) await this.#window.wait();
  }

  #begin({ sequenceNumber, request }: IngestTaskExecutionsRequest): void {
    const report = this.#parse(request ?? create(CreateTaskExecutionRequestSchema));
    const isRefused = report instanceof LedgerError;
    const bytes = this.#deps.limits.itemBytes + (isRefused ? 0 : payloadBytesOf(report));
    this.#window.take(bytes);
    this.#inFlight++;
    if (isRefused) this.#answer(sequenceNumber, bytes, { refused: report });
    else this.#writer.add({ sequenceNumber, report, key: keyOf(report), bytes, next: undefined });
  }

  #parse(request: CreateTaskExecutionRequest): Report | LedgerError {
    try {
      return parseItem(CreateTaskExecutionRequestSchema, request, fromCreateRequest);
    } catch (error) {
      this.#deps.onDefect(error, this.#call.author.requestId);
      return internal(error);
    }
  }

  /** Acknowledges an item that is settled. */
  #answer(sequenceNumber: bigint, itemBytes: number, result: ChangeResult): void {
    try {
      if (this.#call.signal.aborted) {
        this.#window.release(itemBytes);
      } else {
        const acknowledgement = this.#toAcknowledgement(sequenceNumber, result);
        const bytes = this.#deps.limits.itemBytes + detailBytesOf(acknowledgement);
        this.#window.replace(itemBytes, bytes);
        this.#done.push({ acknowledgement, bytes });
      }
    } catch (error) {
      this.#writer.giveUp(error);
      this.#lose(itemBytes, error);
      return;
    }
    this.#inFlight--;
    this.#bell.ring();
  }

  #toAcknowledgement(sequenceNumber: bigint, result: ChangeResult): Acknowledgement {
    const acknowledgement = create(AcknowledgementSchema);
    acknowledgement.sequenceNumber = sequenceNumber;
    acknowledgement.result = toReportResult(result, this.#call.author.requestId);
    return acknowledgement;
  }

  /** Gives up an item, and with it the stream: it is not acknowledged, so the caller sends it again. */
  #lose(itemBytes: number, failure: unknown): void {
    this.#stop(failure);
    this.#failure ??= failure;
    this.#window.release(itemBytes);
    this.#inFlight--;
    this.#bell.ring();
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

function keyOf({ flowExecutionId, taskExecutionIdx, taskName }: Report): string {
  return `${flowExecutionId}/${taskExecutionIdx}/${taskName}`;
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
