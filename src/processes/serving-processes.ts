import cluster from "node:cluster";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { forkServing, type ServingProcess } from "./fork.ts";
import { keepRunning } from "./keep-running.ts";
import type { Order } from "./message.ts";

/** What the processes are made of. */
export interface ServingProcessesOptions {
  readonly count: number;
  readonly port: number;
  /** What their environment has that ours has not. */
  readonly env: Readonly<Record<string, string>>;
  readonly log: Logger;
}

/**
 * The processes that serve: as many as were asked for, all at one port, whose connections they get in turn.
 *
 * One that ends is followed by another; the others serve on meanwhile.
 */
export class ServingProcesses {
  readonly #options: ServingProcessesOptions;
  readonly #closing = new AbortController();
  readonly #failed = Promise.withResolvers<Error>();
  readonly #running = new Set<ServingProcess>();
  readonly #serving = new Set<ServingProcess>();
  #port: number;
  #site: Order = { type: "show" };

  constructor(options: ServingProcessesOptions) {
    this.#options = options;
    this.#port = options.port;
    // What we were started with is ours to do.
    cluster.setupPrimary({ args: [] });
    // They end by themselves when we are gone, but for one that is too busy to notice.
    process.once("exit", () => {
      for (const one of this.#running) one.kill();
    });
  }

  /** Settles with the reason when it makes no sense to go on: one process after the other ends at once. */
  get failed(): Promise<Error> {
    return this.#failed.promise;
  }

  /**
   * Starts them, and returns when all serve.
   *
   * @throws Error if one ends before that; then the others have ended, too
   */
  async start(): Promise<AddressInfo> {
    const processes = Array.from({ length: this.#options.count }, () => this.#startOne());
    const [address] = await Promise.all(processes.map(({ serving }) => serving)).catch(async (error) => {
      // Whether the others end well is not what is wrong.
      await this.drain().catch(() => {});
      throw error;
    });
    for (const first of processes) {
      keepRunning(first, () => this.#startOne(), this.#closing.signal).catch(this.#failed.resolve);
    }
    return address!;
  }

  /** Shows the console as it is on the disk now. */
  show(): void {
    this.#tellOfSite({ type: "show" });
  }

  /** Shows a text in place of the console. */
  showNotice(text: string): void {
    this.#tellOfSite({ type: "notice", text });
  }

  /**
   * Has all of them end without failing a call.
   *
   * @throws Error if one could not
   */
  async drain(): Promise<void> {
    this.#closing.abort();
    const processes = [...this.#running];
    for (const one of processes) one.tell({ type: "drain" });
    const ends = await Promise.all(processes.map(({ ended }) => ended));
    const failed = ends.filter(({ code }) => code !== 0).length;
    if (failed > 0) {
      throw new Error(`${failed} of ${ends.length} processes did not end well`);
    }
  }

  #tellOfSite(order: Order): void {
    this.#site = order;
    for (const one of this.#serving) one.tell(order);
  }

  #startOne(): ServingProcess {
    const { env, log } = this.#options;
    const one = forkServing({ ...env, PORT: String(this.#port) });
    this.#running.add(one);
    let port = this.#port;
    const onServing = (address: AddressInfo): void => {
      port = address.port;
      this.#serving.add(one);
      one.tell(this.#site);
      log.info({ process: one.pid }, "a process serves");
    };
    one.serving.then(onServing, () => {});
    void one.ended.then(({ code, signal, error }) => {
      this.#running.delete(one);
      this.#serving.delete(one);
      // The last one takes the socket with it. If any port was asked for, it would be another one now.
      if (this.#running.size === 0) this.#port = port;
      if (!this.#closing.signal.aborted) {
        log.error({ process: one.pid, code, signal, err: error }, "a process has ended");
      }
    });
    return one;
  }
}
