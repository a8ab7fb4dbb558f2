import type { EntityManager, MikroORM } from "@mikro-orm/postgresql";
import type { Caller } from "../auth/caller.ts";
import { forOrganization } from "../db/organization.ts";
import { LedgerError } from "../errors.ts";
import { readFeed, readHeads } from "./feed-statements.ts";
import { OrganizationFeed } from "./organization-feed.ts";
import { SharedReads } from "./shared-reads.ts";
import { defaultWatchLimits, type WatchLimits } from "./watch-limits.ts";

/** What the feeds of a process take from outside. */
export interface FeedsDeps {
  readonly orm: MikroORM;
  readonly limits?: WatchLimits | undefined;
  /** How many streams and waiting calls one caller may have. */
  readonly streamsPerCaller: number;
  readonly statementTimeoutMs: number;
  /** Is told when a feed could not be read; it is tried again. */
  readonly onError: (error: unknown) => void;
}

/** The feeds of the organizations that are watched in this process. */
export class Feeds {
  readonly limits: WatchLimits;
  readonly #deps: FeedsDeps;
  readonly #feeds = new Map<string, OrganizationFeed>();
  readonly #reads: SharedReads;
  readonly #callers = new Map<string, number>();

  constructor(deps: FeedsDeps) {
    this.#deps = deps;
    this.limits = deps.limits ?? defaultWatchLimits;
    this.#reads = new SharedReads(this.limits.readsAtOnce);
  }

  /** How many streams and waiting calls there are, and how often their feeds looked at the database. */
  get figures(): { readonly streams: number; readonly looks: number } {
    const feeds = [...this.#feeds.values()];
    return {
      streams: feeds.reduce((sum, { streams }) => sum + streams, 0),
      looks: feeds.reduce((sum, { looks }) => sum + looks, 0),
    };
  }

  /** Reads something of an organization for a stream, and for those that want the same at the same time. */
  read<T>(organizationId: string, key: string, make: (em: EntityManager) => Promise<T>): Promise<T> {
    return this.#reads.read(`${organizationId} ${key}`, () => make(this.em(organizationId)));
  }

  /** Says that something of an organization has changed. It costs nothing where nobody watches. */
  ring(organizationId: string): void {
    this.#feeds.get(organizationId)?.ring();
  }

  /**
   * Returns the feed of the caller's organization, which is read from now on.
   *
   * @param listener is called after each change, until the signal aborts; then the feed is given back
   * @throws LedgerError TOO_MANY_REQUESTS if the caller has too many streams
   */
  async join(caller: Caller, listener: () => void, signal: AbortSignal): Promise<OrganizationFeed> {
    signal.throwIfAborted();
    const { organizationId } = caller;
    this.#admit(caller, signal);
    const feed = this.#feeds.get(organizationId) ?? this.#open(organizationId);
    this.#feeds.set(organizationId, feed);
    // Not when the iterator ends: a generator that waits in `yield` does not notice that its client is gone.
    const joined = feed.join(listener, signal);
    signal.addEventListener("abort", () => this.#closeUnused(organizationId, feed), { once: true });
    await joined;
    return feed;
  }

  /** Returns what an organization is read by, at the pace of the service and not of one call. */
  em(organizationId: string): EntityManager {
    const { orm, statementTimeoutMs } = this.#deps;
    return forOrganization(orm, organizationId, statementTimeoutMs);
  }

  #open(organizationId: string): OrganizationFeed {
    return new OrganizationFeed({
      limits: this.limits,
      readHeads: () => readHeads(this.em(organizationId), organizationId),
      readFeed: (from, most) => readFeed(this.em(organizationId), organizationId, from, most),
      onError: this.#deps.onError,
    });
  }

  #closeUnused(organizationId: string, feed: OrganizationFeed): void {
    if (feed.streams === 0 && this.#feeds.get(organizationId) === feed) {
      feed.close();
      this.#feeds.delete(organizationId);
    }
  }

  #admit({ organizationId, subject }: Caller, signal: AbortSignal): void {
    const key = `${organizationId}/${subject}`;
    const streams = this.#callers.get(key) ?? 0;
    const { streamsPerCaller } = this.#deps;
    if (streams >= streamsPerCaller) {
      const message = `this credential has ${streamsPerCaller} watches open, which is the limit; close some`;
      throw new LedgerError("TOO_MANY_REQUESTS", message, { retryAfterMs: 5000 });
    }
    this.#callers.set(key, streams + 1);
    const leave = () => {
      const left = this.#callers.get(key)! - 1;
      if (left === 0) this.#callers.delete(key);
      else this.#callers.set(key, left);
    };
    signal.addEventListener("abort", leave, { once: true });
  }
}
