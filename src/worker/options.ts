import { hostname } from "node:os";
import type { Transport } from "@connectrpc/connect";
import type { WorkerEvent } from "./events.ts";
import type { Executor } from "./task.ts";

/** What a worker is. Only the first two are required. */
export interface WorkerOptions {
  /** How to reach the service, signed in: see {@link connect}. */
  readonly transport: Transport;
  /** What the worker can do, by the name of the executor: 1 to 100. */
  readonly executors: Readonly<Record<string, Executor>>;
  /** How many tasks it does at the same time. */
  readonly concurrency?: number;
  /** What it calls itself, for people. By default the name of the machine and the number of the process. */
  readonly workerId?: string;
  /** How long one claim waits for work, up to 60 s. */
  readonly waitMs?: number;
  /**
   * How long before the end of a lease that could not be kept a task is interrupted, so that it has stopped when
   * somebody else begins it. A quarter of the lease at most.
   */
  readonly safetyMs?: number;
  /** Is told what happens. Must not throw. */
  readonly onEvent?: (event: WorkerEvent) => void;
}

/** Options with their defaults. */
export type CompleteOptions = Required<WorkerOptions>;

/** Completes options. */
export function completeOptions(options: WorkerOptions): CompleteOptions {
  return {
    concurrency: 8,
    workerId: `${hostname().slice(0, 150)}/${process.pid}`,
    // Shorter than what proxies allow a call to be silent for.
    waitMs: 20_000,
    safetyMs: 1000,
    onEvent: () => {},
    ...options,
  };
}
