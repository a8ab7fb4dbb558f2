import { untilAborted } from "./abortable.ts";

/** Whether this process should be sent requests. */
export interface Readiness {
  isReady(): boolean;
  /** Calls the listener after each change, until the signal aborts. */
  subscribe(listener: (ready: boolean) => void, signal: AbortSignal): void;
}

/** A readiness that follows a probe until the process drains. */
export interface ProbedReadiness extends Readiness {
  /** Turns not ready, for good. */
  drain(): void;
  /** Stops probing. */
  close(): void;
}

/** How readiness is probed. */
export interface ProbeOptions {
  /** Succeeds if the process can serve; its signal aborts when it takes too long. */
  readonly probe: (signal: AbortSignal) => Promise<void>;
  /** Time between the end of a probe and the next one. */
  readonly intervalMs?: number;
  /** How long a probe may take. With the interval it bounds how late an outage is noticed: 3 s. */
  readonly timeoutMs?: number;
}

/**
 * Probes until closed: ready after a probe that succeeded, not ready after one that failed.
 *
 * Begins at once, and is not ready before the first success.
 */
export function createReadiness({
  probe,
  intervalMs = 1000,
  timeoutMs = 2000,
}: ProbeOptions): ProbedReadiness {
  const listeners = new Set<(ready: boolean) => void>();
  const closed = new AbortController();
  let draining = false;
  let ready = false;
  let timer: NodeJS.Timeout | undefined;

  const set = (value: boolean): void => {
    if (value !== ready) {
      ready = value;
      for (const listener of listeners) {
        listener(ready);
      }
    }
  };
  const run = async (): Promise<void> => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const succeeded = await untilAborted(timeout, () => probe(timeout)).then(
      () => true,
      () => false,
    );
    if (!closed.signal.aborted) {
      set(succeeded && !draining);
      timer = setTimeout(run, intervalMs).unref();
    }
  };
  void run();

  return {
    isReady: () => ready,
    subscribe(listener, signal) {
      listeners.add(listener);
      signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
    },
    drain() {
      draining = true;
      set(false);
    },
    close() {
      closed.abort();
      clearTimeout(timer);
    },
  };
}
