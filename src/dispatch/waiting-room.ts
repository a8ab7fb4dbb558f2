/** How often whoever waits looks for work without being called: polling is the truth, calls only make it quick. */
const pollMs = 1000;

/** How many are called at once. Whoever finds something calls the next. */
const calledAtOnce = 4;

/** One claim that waits for work. */
interface Waiter {
  readonly executors: ReadonlySet<string>;
  readonly key: string;
  end(reason: WaitEnd): void;
}

/** Why a wait ended. */
export type WaitEnd = "called" | "over";

/**
 * Where claims wait until there may be something for them.
 *
 * Being called is a hint: the queue in the database is the truth, and whoever is called looks there. Only a few
 * are called at once, so that a thousand workers do not all look for one task.
 */
export class WaitingRoom {
  readonly #waiters = new Map<string, Set<Waiter>>();
  #poll: NodeJS.Timeout | undefined;

  /** Calls those who came first of those who wait for one of the executors, or for anything if none is named. */
  call(organizationId: string, executors?: ReadonlySet<string>, most = calledAtOnce): void {
    let left = most;
    for (const waiter of this.#waiters.get(organizationId) ?? []) {
      if (executors === undefined || [...executors].some((executor) => waiter.executors.has(executor))) {
        waiter.end("called");
        if (--left === 0) break;
      }
    }
  }

  /** Waits until it is called for one of the executors, or the signal. Listens from the call on. */
  wait(organizationId: string, executors: readonly string[], signal: AbortSignal): Promise<WaitEnd> {
    return new Promise((resolve) => {
      const end = (reason: WaitEnd) => {
        signal.removeEventListener("abort", over);
        this.#remove(organizationId, waiter);
        resolve(reason);
      };
      const over = () => end("over");
      const waiter: Waiter = {
        executors: new Set(executors),
        key: [...executors].sort().join("\n"),
        end,
      };
      const waiters = this.#waiters.get(organizationId) ?? new Set();
      this.#waiters.set(organizationId, waiters.add(waiter));
      this.#poll ??= setInterval(() => this.#callAll(), pollMs).unref();
      signal.addEventListener("abort", over, { once: true });
      if (signal.aborted) over();
    });
  }

  #remove(organizationId: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(organizationId);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(organizationId);
    if (this.#waiters.size === 0) {
      clearInterval(this.#poll);
      this.#poll = undefined;
    }
  }

  /** Calls one of each organization and set of executors. */
  #callAll(): void {
    for (const waiters of [...this.#waiters.values()]) {
      const called = new Set<string>();
      for (const waiter of [...waiters]) {
        if (!called.has(waiter.key)) {
          called.add(waiter.key);
          waiter.end("called");
        }
      }
    }
  }
}
