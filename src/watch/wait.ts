import type { Duration } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { callerOf } from "../auth/caller.ts";
import { toMs } from "../flow/duration.ts";
import { waitMsOf } from "../server/waiting-methods.ts";
import { Bell } from "./bell.ts";
import type { FeedEntry } from "./feed-statements.ts";
import type { Feeds } from "./feeds.ts";

/** How long a call waits that does not say. */
const defaultWaitMs = 60_000;

/** What a wait takes from outside. */
export interface WaitDeps {
  readonly feeds: Feeds;
  /** Fires when the service shuts down: nobody waits then. */
  readonly closing: AbortSignal;
}

/** What is waited for. */
export interface WaitFor<State> {
  readonly wait: Duration | undefined;
  /** Reads how it is now. */
  look(): Promise<State>;
  hasEnded(state: State): boolean;
  /** Reports whether an entry of the feed is about it. */
  concerns(entry: FeedEntry): boolean;
}

/** Waits until something has ended, or the time is over, and returns it as it is then. */
export async function waitForEnd<State>(
  { feeds, closing }: WaitDeps,
  ctx: HandlerContext,
  { wait, look, hasEnded, concerns }: WaitFor<State>,
): Promise<State> {
  const first = await look();
  const waitMs = waitMsOf(ctx, wait === undefined ? defaultWaitMs : toMs(wait));
  if (hasEnded(first) || waitMs <= 0) {
    return first;
  }
  const done = new AbortController();
  const over = AbortSignal.any([ctx.signal, closing, AbortSignal.timeout(Math.ceil(waitMs))]);
  const signal = AbortSignal.any([ctx.signal, done.signal]);
  try {
    const bell = new Bell();
    over.addEventListener("abort", bell.ring, { once: true });
    const feed = await feeds.join(callerOf(ctx), bell.ring, signal);
    // What the feed tells from now on; whatever came before is seen by the next look.
    let cursor = feed.end;
    let state = await look();
    while (!hasEnded(state) && !over.aborted) {
      bell.reset();
      let isConcerned = false;
      const taken = feed.take(cursor, (entry) => {
        isConcerned ||= concerns(entry);
        return false;
      });
      cursor = taken?.cursor ?? feed.end;
      if (isConcerned || taken === undefined) {
        state = await look();
      } else {
        await bell.wait();
      }
    }
    return hasEnded(state) ? state : await look();
  } finally {
    done.abort();
  }
}
