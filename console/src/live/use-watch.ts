import { useEffect, useState } from "react";
import { type Connection, useReportConnection } from "./connection.ts";
import { type WatchMessage, type WatchOptions, watch } from "./watch.ts";

/** Fires when this page has changed something, so that what has ended is looked at again at once. */
const pokes = new EventTarget();

/** Tells every watch of this page that there may be news. */
export function pokeWatches(): void {
  pokes.dispatchEvent(new Event("poke"));
}

/** What a watch of a page needs; the same object as long as the same is watched. */
export type Subscription<Message extends WatchMessage> = Pick<
  WatchOptions<Message>,
  "open" | "onMessage" | "onRestart"
>;

/** How a watch is. */
export interface WatchState {
  readonly connection: Connection;
  readonly error: unknown;
}

/**
 * Watches as long as the component is there, and tells the banner of the connection.
 *
 * @param subscription undefined to watch nothing
 * @returns how it is connected, and the error if it ended because trying again would not help
 */
export function useWatch<Message extends WatchMessage>(
  subscription: Subscription<Message> | undefined,
): WatchState {
  const [connection, setConnection] = useState<Connection>("connecting");
  const [error, setError] = useState<unknown>();
  useReportConnection(subscription === undefined || error !== undefined ? undefined : connection);
  useEffect(() => {
    if (subscription === undefined) {
      return undefined;
    }
    const controller = new AbortController();
    const { signal } = controller;
    setError(undefined);
    watch({ ...subscription, signal, poke: pokes, onConnection: setConnection }).catch((thrown: unknown) => {
      if (!signal.aborted) {
        setError(thrown);
      }
    });
    return () => controller.abort();
  }, [subscription]);
  return { connection, error };
}
