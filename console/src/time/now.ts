import { useSyncExternalStore } from "react";

// One clock for the whole page, so that everything that counts time counts it in step.
const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  now = Date.now();
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) {
      each();
    }
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

const never = () => () => undefined;

/** Returns the time, new each second as long as it is `running`. */
export function useNow(running = true): number {
  return useSyncExternalStore(running ? subscribe : never, () => now);
}
