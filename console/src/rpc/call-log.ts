import type { DescMethod } from "@bufbuild/protobuf";
import { useSyncExternalStore } from "react";

/** One call that the console made. */
export interface Call {
  readonly number: number;
  readonly method: DescMethod;
  /** The request as JSON, as grpcurl takes it. */
  readonly request: string;
  readonly time: Date;
  /** Undefined while it goes on. */
  readonly durationMs?: number;
  /** "ok" or the name of the code. Undefined while it goes on. */
  readonly code?: string;
}

/** How many calls are kept. */
const most = 50;

/** The last calls of a session, newest first. */
export class CallLog {
  #calls: readonly Call[] = [];
  #count = 0;
  readonly #listeners = new Set<() => void>();

  /** Records a call that begins, and returns what records its end. */
  begin(method: DescMethod, request: string): (code: string) => void {
    const call: Call = { number: ++this.#count, method, request, time: new Date() };
    const start = performance.now();
    this.#change([call, ...this.#calls].slice(0, most));
    return (code) => {
      const durationMs = performance.now() - start;
      this.#change(
        this.#calls.map((each) => (each.number === call.number ? { ...each, code, durationMs } : each)),
      );
    };
  }

  #change(calls: readonly Call[]): void {
    this.#calls = calls;
    for (const listener of this.#listeners) {
      listener();
    }
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly calls = (): readonly Call[] => this.#calls;
}

/** Returns the last calls, newest first. */
export function useCalls(log: CallLog): readonly Call[] {
  return useSyncExternalStore(log.subscribe, log.calls);
}
