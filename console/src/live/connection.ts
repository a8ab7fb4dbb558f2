import { useEffect, useId, useSyncExternalStore } from "react";

/** How a live view is connected: for the first time, now, or not any more but trying. */
export type Connection = "connecting" | "live" | "reconnecting";

const connections = new Map<string, Connection>();
const listeners = new Set<() => void>();
let summary: Connection | undefined;

function update(): void {
  const all = [...connections.values()];
  const next = all.includes("reconnecting")
    ? "reconnecting"
    : all.includes("connecting")
      ? "connecting"
      : all[0];
  if (next !== summary) {
    summary = next;
    for (const listener of listeners) {
      listener();
    }
  }
}

/** Tells the banner how a view on this page is connected; undefined if it is not live. */
export function useReportConnection(connection: Connection | undefined): void {
  const id = useId();
  useEffect(() => {
    if (connection === undefined) {
      return undefined;
    }
    connections.set(id, connection);
    update();
    return () => {
      connections.delete(id);
      update();
    };
  }, [id, connection]);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Returns the worst of how the views on this page are connected; undefined if none is live. */
export function useConnection(): Connection | undefined {
  return useSyncExternalStore(subscribe, () => summary);
}
