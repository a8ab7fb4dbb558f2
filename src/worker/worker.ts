import { setTimeout as sleep } from "node:timers/promises";
import { type ConnectError, createClient } from "@connectrpc/connect";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { Claims, type Given } from "./claims.ts";
import type { TaskEnd } from "./events.ts";
import { Heartbeats } from "./heartbeats.ts";
import { HeldTask } from "./held-task.ts";
import { type CompleteOptions, completeOptions, type WorkerOptions } from "./options.ts";
import { type Answer, type Ended, Reporter } from "./reporter.ts";
import { execute, released } from "./result.ts";

/** How long executors may take to give up when they are told that the worker stops. */
const giveUpMs = 1000;
/** How long the last reports may take. */
const lastReportsMs = 10_000;

/**
 * Claims tasks, does them, and reports: from its making until it is stopped.
 *
 * A busy worker makes one call a round: results that are there together are handed in together, with the claim
 * of the next tasks. Only when it has room and nothing to report does it wait for work. Leases are kept by
 * heartbeats at a third of their length. Whatever is refused or lost is told to `onEvent`, and never stops it.
 */
export class Worker {
  /** Settles when it has stopped; rejects if the service does not let it work, for example because its key is revoked. */
  readonly closed: Promise<void>;
  readonly #options: CompleteOptions;
  readonly #claims: Claims;
  readonly #heartbeats: Heartbeats;
  readonly #reporter: Reporter;
  readonly #running = new Map<HeldTask, Promise<void>>();
  readonly #claiming = new AbortController();
  readonly #reporting = new AbortController();
  readonly #end = Promise.withResolvers<void>();
  #wait: Promise<void> | undefined;
  #waitsFor = 0;
  #reportClaims = 0;
  #stopped: Promise<void> | undefined;
  #failure: ConnectError | undefined;

  constructor(options: WorkerOptions) {
    this.#options = completeOptions(options);
    const { transport, executors, workerId, waitMs, onEvent } = this.#options;
    const client = createClient(WorkerService, transport);
    const onTrouble = (error: ConnectError, retryInMs: number) =>
      onEvent({ type: "trouble", error, retryInMs });
    this.#claims = new Claims({ client, executors: Object.keys(executors), workerId, waitMs, onTrouble });
    this.#heartbeats = new Heartbeats({ client, onTrouble });
    this.#reporter = new Reporter({
      client,
      persistence: { signal: this.#reporting.signal, onTrouble },
      nextClaim: () => this.#nextClaim(),
      onClaimed: (claimed, span) => {
        this.#reportClaims = 0;
        this.#take({ claimed, span });
      },
      onAnswer: (ended, answer) => this.#answer(ended, answer),
      onIdle: () => this.#look(),
    });
    this.closed = this.#end.promise;
    // Whoever does not ask is not to be ended by it.
    this.closed.catch(() => {});
    this.#look();
  }

  /**
   * Stops: claims nothing more, lets the tasks in hand come to their end for a while, then interrupts them and
   * hands them back, and reports all of it.
   *
   * @param withinMs how long tasks in hand may take
   */
  stop(withinMs = 10_000): Promise<void> {
    this.#stopped ??= this.#stop(withinMs);
    return this.#stopped;
  }

  async #stop(withinMs: number): Promise<void> {
    this.#claiming.abort();
    await Promise.all([this.#wait, this.#settle(withinMs)]);
    for (const held of this.#running.keys()) held.interrupt("stopping");
    await this.#settle(giveUpMs);
    for (const held of this.#running.keys()) held.abandon();
    await this.#settle(giveUpMs);
    const timer = setTimeout(() => this.#reporting.abort(), lastReportsMs);
    await this.#reporter.idle();
    clearTimeout(timer);
    this.#heartbeats.close();
    if (this.#failure) this.#end.reject(this.#failure);
    else this.#end.resolve();
  }

  /** Waits until no executor runs, for a while. */
  async #settle(withinMs: number): Promise<void> {
    const over = new AbortController();
    const settled = Promise.all(this.#running.values());
    await Promise.race([settled, sleep(withinMs, undefined, { signal: over.signal }).catch(() => {})]);
    over.abort();
  }

  get #free(): number {
    const { concurrency } = this.#options;
    return this.#claiming.signal.aborted
      ? 0
      : concurrency - this.#running.size - this.#waitsFor - this.#reportClaims;
  }

  /** Waits for work if there is room for it and nothing to report, with which it would be claimed sooner. */
  #look(): void {
    if (this.#wait === undefined && this.#reporter.isIdle && this.#free > 0) {
      this.#waitsFor = this.#free;
      this.#wait = this.#waitForWork(this.#waitsFor);
    }
  }

  async #waitForWork(most: number): Promise<void> {
    try {
      const given = await this.#claims.wait(most, this.#claiming.signal);
      this.#waitsFor = 0;
      this.#take(given);
    } catch (error) {
      this.#failure = error as ConnectError;
      void this.stop();
    } finally {
      this.#waitsFor = 0;
      this.#wait = undefined;
      this.#look();
    }
  }

  #nextClaim() {
    this.#reportClaims = Math.max(0, this.#free);
    return this.#reportClaims > 0 ? this.#claims.request(this.#reportClaims) : undefined;
  }

  #take({ claimed, span }: Given): void {
    const onProgress = () => this.#heartbeats.look();
    const taken = claimed.map((message) => new HeldTask(message, span, this.#options.safetyMs, onProgress));
    if (taken.length > 0) this.#options.onEvent({ type: "claimed", tasks: taken.map(({ task }) => task) });
    for (const held of taken) {
      this.#heartbeats.add(held);
      if (this.#claiming.signal.aborted) {
        this.#reporter.add({ held, report: released(held) });
      } else {
        this.#running.set(held, this.#run(held));
      }
    }
  }

  async #run(held: HeldTask): Promise<void> {
    const report = await execute(held, this.#options.executors[held.executor]!);
    this.#running.delete(held);
    if (report !== undefined) {
      this.#reporter.add({ held, report });
    } else {
      this.#letGo(held);
      this.#options.onEvent({ type: "lost", task: held.task });
      this.#look();
    }
  }

  #answer({ held, report }: Ended, answer: Answer): void {
    const { task } = held;
    const { onEvent } = this.#options;
    this.#letGo(held);
    if (answer.case === "error") {
      onEvent({ type: "refused", task, message: answer.value.message });
    } else {
      const { result } = report;
      const error = result.case === "failed" ? { error: result.value.error?.message ?? "" } : {};
      onEvent({ type: "reported", task, end: result.case as TaskEnd, ...error });
    }
  }

  #letGo(held: HeldTask): void {
    held.close();
    this.#heartbeats.remove(held);
  }
}
