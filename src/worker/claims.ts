import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  type ClaimedTaskExecution,
  type ClaimTaskExecutionsRequest,
  ClaimTaskExecutionsRequestSchema,
  type WorkerService,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import type { Span } from "./held-task.ts";
import { type Persistence, persist } from "./persist.ts";

/** How many tasks one claim takes. */
const mostTasks = 100;
/** How long an answer may take beyond the wait. */
const answerMs = 10_000;
/** How long the last question about a claim that was broken off may take. */
const recoverMs = 2000;
/** How soon a claim is repeated that was answered before its time, as a service does that shuts down. */
const pauseMs = 250;

/** What claims take from outside. */
export interface ClaimsDeps {
  readonly client: Client<typeof WorkerService>;
  readonly executors: readonly string[];
  readonly workerId: string;
  readonly waitMs: number;
  readonly onTrouble: NonNullable<Persistence["onTrouble"]>;
}

/** The tasks that a claim was given, and when. */
export interface Given {
  readonly claimed: readonly ClaimedTaskExecution[];
  readonly span: Span;
}

/** Asks for tasks. A claim is repeated under the same request_id, so that an answer that was lost is given again. */
export class Claims {
  readonly #deps: ClaimsDeps;

  constructor(deps: ClaimsDeps) {
    this.#deps = deps;
  }

  /** Returns a claim that does not wait. */
  request(most: number): ClaimTaskExecutionsRequest {
    const { executors, workerId } = this.#deps;
    return create(ClaimTaskExecutionsRequestSchema, {
      executors: [...executors],
      maxTaskExecutions: Math.min(most, mostTasks),
      workerId,
      requestId: randomUUID(),
    });
  }

  /**
   * Waits for tasks.
   *
   * @param signal ends the wait; what the claim was given nevertheless is returned
   * @throws ConnectError what repeating does not help against
   */
  async wait(most: number, signal: AbortSignal): Promise<Given> {
    const { waitMs, onTrouble } = this.#deps;
    const request = { ...this.request(most), wait: durationFromMs(waitMs) };
    try {
      const given = await this.#ask(request, waitMs + answerMs, { signal, onTrouble });
      const { sentAt, receivedAt } = given.span;
      if (given.claimed.length === 0 && receivedAt - sentAt < waitMs / 2) {
        await sleep(pauseMs, undefined, { signal }).catch(() => {});
      }
      return given;
    } catch (error) {
      if (!signal.aborted) throw error;
      return this.#recover(request);
    }
  }

  /** Asks what a claim was given that was broken off, so that it does not lie about until its lease runs out. */
  async #recover(request: ClaimTaskExecutionsRequest): Promise<Given> {
    // The answer goes by the request_id. For this executor there is nothing, so that nothing more is claimed.
    const repeated = create(ClaimTaskExecutionsRequestSchema, {
      ...request,
      executors: [`nothing-${randomUUID()}`],
    });
    delete repeated.wait;
    const signal = AbortSignal.timeout(recoverMs);
    try {
      return await this.#ask(repeated, recoverMs, { signal });
    } catch {
      return { claimed: [], span: { sentAt: 0, receivedAt: 0 } };
    }
  }

  async #ask(
    request: ClaimTaskExecutionsRequest,
    timeoutMs: number,
    persistence: Persistence,
  ): Promise<Given> {
    const { signal } = persistence;
    let sentAt = 0;
    const { claimed } = await persist(() => {
      sentAt = performance.now();
      return this.#deps.client.claimTaskExecutions(request, { timeoutMs, ...(signal && { signal }) });
    }, persistence);
    return { claimed, span: { sentAt, receivedAt: performance.now() } };
  }
}
