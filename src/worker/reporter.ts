import { create, toBinary } from "@bufbuild/protobuf";
import { type Client, ConnectError } from "@connectrpc/connect";
import {
  type ClaimedTaskExecution,
  type ClaimTaskExecutionsRequest,
  type ReportTaskExecutionsResponse,
  type ReportTaskExecutionsResponse_Result,
  ReportTaskExecutionsResponse_ResultSchema,
  type TaskReport,
  TaskReportSchema,
  type WorkerService,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import type { HeldTask, Span } from "./held-task.ts";
import { type Persistence, persist } from "./persist.ts";
import { invalidOutput, maxReportBytes } from "./result.ts";

/** How many reports one call takes. */
const mostReports = 100;
/** How long one try may take. */
const timeoutMs = 10_000;

/** A task that has ended here, and what there is to say about it. */
export interface Ended {
  readonly held: HeldTask;
  readonly report: TaskReport;
}

/** What the service says to a report. */
export type Answer = ReportTaskExecutionsResponse_Result["result"];

/** What reports take from outside. */
export interface ReporterDeps {
  readonly client: Client<typeof WorkerService>;
  readonly persistence: Persistence;
  /** Returns what to claim along with reports, if anything. */
  readonly nextClaim: () => ClaimTaskExecutionsRequest | undefined;
  readonly onClaimed: (claimed: readonly ClaimedTaskExecution[], span: Span) => void;
  readonly onAnswer: (ended: Ended, answer: Answer) => void;
  /** Is told when there is nothing to report any more. */
  readonly onIdle: () => void;
}

/**
 * Hands in results, and claims the next tasks in the same call.
 *
 * One call is under way at a time: what ends meanwhile goes together in the next one. Reports are repeated until
 * the service has answered them.
 */
export class Reporter {
  readonly #deps: ReporterDeps;
  readonly #waiting: Ended[] = [];
  readonly #onceIdle: (() => void)[] = [];
  #isBusy = false;

  constructor(deps: ReporterDeps) {
    this.#deps = deps;
  }

  /** Whether everything was handed in. */
  get isIdle(): boolean {
    return !this.#isBusy && this.#waiting.length === 0;
  }

  /** Waits until everything was handed in. */
  async idle(): Promise<void> {
    if (!this.isIdle) await new Promise<void>((resolve) => this.#onceIdle.push(resolve));
  }

  /** Hands in a result, soon. */
  add(ended: Ended): void {
    this.#waiting.push(ended);
    if (!this.#isBusy) {
      this.#isBusy = true;
      // What ends in the same turn goes along.
      setImmediate(() => void this.#run());
    }
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#send(this.#take(), this.#deps.nextClaim());
    }
    this.#isBusy = false;
    for (const resolve of this.#onceIdle.splice(0)) resolve();
    this.#deps.onIdle();
  }

  /** Takes as many reports as fit into one message. */
  #take(): Ended[] {
    let bytes = 0;
    const fits = (report: TaskReport) => {
      bytes += toBinary(TaskReportSchema, report).length;
      return bytes <= maxReportBytes;
    };
    const end = this.#waiting.findIndex(({ report }, index) => index === mostReports || !fits(report));
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : Math.max(1, end));
  }

  async #send(batch: readonly Ended[], claim?: ClaimTaskExecutionsRequest): Promise<void> {
    const { client, persistence, onClaimed, onAnswer } = this.#deps;
    const { signal } = persistence;
    const request = { reports: batch.map(({ report }) => report), ...(claim && { claim }) };
    let sentAt = 0;
    let response: ReportTaskExecutionsResponse;
    try {
      response = await persist(() => {
        sentAt = performance.now();
        return client.reportTaskExecutions(request, { timeoutMs, ...(signal && { signal }) });
      }, persistence);
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      if (signal?.aborted) {
        for (const ended of batch) onAnswer(ended, refusal(error));
      } else {
        onClaimed([], { sentAt, receivedAt: sentAt });
        await this.#sendApart(batch, error);
      }
      return;
    }
    const receivedAt = performance.now();
    for (const [index, ended] of batch.entries()) {
      onAnswer(ended, response.results[index]!.result);
    }
    onClaimed(response.claimed, { sentAt, receivedAt });
  }

  /** Something in the message is such that it cannot be taken: one report must not keep the others back. */
  async #sendApart(batch: readonly Ended[], error: ConnectError): Promise<void> {
    if (batch.length > 1) {
      for (const ended of batch) {
        await this.#send([ended]);
      }
      return;
    }
    const [{ held, report }] = batch as [Ended];
    if (report.result.case === "completed") {
      await this.#send([{ held, report: invalidOutput(held, error.rawMessage) }]);
    } else {
      this.#deps.onAnswer({ held, report }, refusal(error));
    }
  }
}

function refusal({ code, rawMessage: message }: ConnectError): Answer {
  return create(ReportTaskExecutionsResponse_ResultSchema, {
    result: { case: "error", value: { code, message } },
  }).result;
}
