import cluster from "node:cluster";
import type { AddressInfo } from "node:net";
import type { Life } from "./keep-running.ts";
import type { Order, Serving } from "./message.ts";

/** How a process ended: by itself with a code, by a signal, or before it began. */
export interface End {
  readonly code: number | null;
  readonly signal: string | null;
  readonly error?: Error;
}

/** One process that serves, as the first one sees it. */
export interface ServingProcess extends Life {
  /** Undefined if it could not be started. */
  readonly pid: number | undefined;
  /** Where it serves. Rejects if it ends before. */
  readonly serving: Promise<AddressInfo>;
  readonly ended: Promise<End>;
  /** Tells it something. One that has ended needs not know it any more. */
  tell(order: Order): void;
  /** Ends it at once. */
  kill(): void;
}

/**
 * Starts this program once more, as a process that serves.
 *
 * @param env what its environment has that ours has not
 */
export function forkServing(env: Readonly<Record<string, string>>): ServingProcess {
  const serving = Promise.withResolvers<AddressInfo>();
  const ended = Promise.withResolvers<End>();
  const begin = performance.now();
  const worker = cluster.fork(env);
  const { pid } = worker.process;
  worker.once("message", ({ address }: Serving) => serving.resolve(address));
  worker.once("exit", (code: number | null, signal: string | null) => ended.resolve({ code, signal }));
  worker.on("error", (error) => {
    // What never began does not exit either.
    if (pid === undefined) ended.resolve({ code: null, signal: null, error });
  });
  void ended.promise.then(() => serving.reject(new Error("a process ended before it served")));
  // Only whoever waits for the start wants to know.
  serving.promise.catch(() => {});
  return {
    pid,
    begin,
    serving: serving.promise,
    ended: ended.promise,
    tell(order) {
      if (worker.isConnected()) worker.send(order, () => {});
    },
    kill: () => void worker.process.kill("SIGKILL"),
  };
}
