import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Address } from "../client/ledger.ts";

/** What a worker process has done so far. It tells so now and then, and at its end. */
export interface Figures {
  /** Claims that were answered with tasks, and the tasks. */
  readonly claims: number;
  readonly tasks: number;
  readonly completed: number;
  /** Results that the service refused, and tasks whose lease was lost. */
  readonly refused: number;
  readonly lost: number;
  /** Calls that had to be repeated. */
  readonly troubles: number;
}

/** No figures yet. */
export const noFigures: Figures = { claims: 0, tasks: 0, completed: 0, refused: 0, lost: 0, troubles: 0 };

/** Worker processes that play recorded tasks. */
export interface Fleet extends AsyncDisposable {
  readonly pids: readonly number[];
  /** What all of them have done so far. */
  figures(): Figures;
  /** Rejects when one of them ends before it was told to. */
  readonly failed: Promise<never>;
}

/** Starts worker processes, and waits until they run. They stop when the fleet is disposed of. */
export async function startFleet(
  address: Address,
  { workers, concurrency }: { readonly workers: number; readonly concurrency: number },
): Promise<Fleet> {
  const latest = new Map<ChildProcess, Figures>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  let isStopping = false;
  const children = Array.from({ length: workers }, () => {
    const child = fork(join(import.meta.dirname, "worker-process.ts"), [String(concurrency)], {
      env: { ...process.env, TASKLEDGER_URL: address.url, TASKLEDGER_KEY: address.key },
    });
    child.on("message", (figures: Figures) => latest.set(child, figures));
    child.once("exit", (code, signal) => {
      if (!isStopping) failed.reject(new Error(`worker ${child.pid} ended with ${code ?? signal}`));
    });
    return child;
  });
  const stop = async () => {
    isStopping = true;
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exited = once(child, "exit");
        child.kill("SIGTERM");
        await exited;
      }),
    );
  };
  try {
    await Promise.race([Promise.all(children.map((child) => once(child, "message"))), failed.promise]);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pids: children.map(({ pid }) => pid!),
    failed: failed.promise,
    figures() {
      const sums = { ...noFigures };
      for (const figures of latest.values()) {
        for (const name of Object.keys(sums) as (keyof Figures)[]) sums[name] += figures[name];
      }
      return sums;
    },
    [Symbol.asyncDispose]: stop,
  };
}
