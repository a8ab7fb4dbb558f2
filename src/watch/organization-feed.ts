import { LRUCache } from "lru-cache";
import type { FeedEntry, FeedPage, Heads } from "./feed-statements.ts";
import { covers, farther, nowhere, type Places, passing } from "./places.ts";
import type { WatchLimits } from "./watch-limits.ts";

/** How many messages are kept for streams that want the same, until the next look. */
const mostShared = 64;

/** What the feed of an organization takes from outside. */
export interface OrganizationFeedDeps {
  readonly limits: WatchLimits;
  readonly readHeads: () => Promise<Heads>;
  readonly readFeed: (from: Places, most: number) => Promise<FeedPage>;
  /** Is told of failures. It is tried again. */
  readonly onError: (error: unknown) => void;
}

/** How far someone has come who took some entries. */
export interface Taken {
  readonly cursor: FeedCursor;
  /** Whether these were all. */
  readonly isEnd: boolean;
}

/** Where a stream is in the feed. */
export interface FeedCursor {
  readonly places: Places;
  /**
   * The number of the entry that comes next. Undefined for a stream that comes from elsewhere and may be between what
   * this process has read at once.
   */
  readonly next: number | undefined;
}

/**
 * The newest changes of one organization, which all its streams in this process are told from.
 *
 * As long as there is a stream it looks at the database: at once when it is rung, else now and then. One look is one
 * query, however many streams there are. What it read last is kept for them, within bounds.
 */
export class OrganizationFeed {
  readonly #deps: OrganizationFeedDeps;
  readonly #listeners = new Set<() => void>();
  readonly #shared = new LRUCache<string, object>({ max: mostShared });
  #entries: FeedEntry[] = [];
  /** The newest entries of records and runs, by their ids. */
  readonly #newest = new Map<string, FeedEntry>();
  /** The number of the first kept entry, and the place before it. */
  #first = 0;
  #start: Places = nowhere;
  #end: Places = nowhere;
  #bytes = 0;
  #looks = 0;
  #rung = false;
  #closed = false;
  #wake = (): void => undefined;
  #ready: Promise<void> | undefined;
  #lastChange = 0;

  constructor(deps: OrganizationFeedDeps) {
    this.#deps = deps;
  }

  /** How many streams are told from here. */
  get streams(): number {
    return this.#listeners.size;
  }

  /** How often it looked at the database. */
  get looks(): number {
    return this.#looks;
  }

  /** The place after everything that was read so far. */
  get end(): FeedCursor {
    return { places: this.#end, next: this.#first + this.#entries.length };
  }

  /** Says that there is something new. */
  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /**
   * Adds a stream, and waits until the feed is read from now on.
   *
   * @param listener is called after each change, until the signal aborts
   */
  async join(listener: () => void, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener), { once: true });
    this.#ready ??= this.#begin();
    await this.#ready;
  }

  /** Stops looking. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /**
   * Hands out the entries that follow a place, until the taker says that it is enough. Returns undefined if they are
   * not kept here any more.
   */
  take({ places, next }: FeedCursor, isFull: (entry: FeedEntry) => boolean): Taken | undefined {
    const isHere = next !== undefined && next >= this.#first;
    if (!isHere && !covers(places, this.#start)) {
      return undefined;
    }
    let reached = places;
    for (let index = isHere ? next - this.#first : 0; index < this.#entries.length; index++) {
      const entry = this.#entries[index]!;
      if (entry.position <= reached[entry.shard]!) continue;
      reached = passing(reached, entry.shard, entry.position);
      if (isFull(entry)) {
        const after = isHere ? this.#first + index + 1 : undefined;
        return { cursor: { places: reached, next: after }, isEnd: false };
      }
    }
    const end = farther(places, this.#end);
    const after = covers(this.#end, end) ? this.#first + this.#entries.length : undefined;
    return { cursor: { places: end, next: after }, isEnd: true };
  }

  /** Returns what was made for the same key since the last look, or makes it: streams that want the same share it. */
  share<T extends object>(key: string, make: () => T): T {
    const made = (this.#shared.get(key) as T | undefined) ?? make();
    this.#shared.set(key, made);
    return made;
  }

  async #begin(): Promise<void> {
    try {
      const { places } = await this.#deps.readHeads();
      this.#start = places;
      this.#end = places;
    } catch (error) {
      // The next stream tries again.
      this.#ready = undefined;
      throw error;
    }
    this.#lastChange = performance.now();
    void this.#run();
  }

  async #run(): Promise<void> {
    const { limits, onError } = this.#deps;
    while (!this.#closed) {
      const began = performance.now();
      let waitMs: number;
      try {
        const isMore = await this.#look();
        const isBusy = performance.now() - this.#lastChange < limits.idleAfterMs;
        waitMs = isMore ? 0 : isBusy ? limits.busyPollMs : limits.idlePollMs;
      } catch (error) {
        onError(error);
        this.#rung = false;
        waitMs = limits.retryMs;
      }
      const gapMs = Math.min(limits.gapMs + limits.gapPerStreamMs * this.#listeners.size, limits.mostGapMs);
      // What is rung for within the gap is told with what comes till its end.
      await this.#sleep(began + gapMs - performance.now(), false);
      await this.#sleep(began + waitMs - performance.now(), true);
    }
  }

  async #sleep(ms: number, untilRung: boolean): Promise<void> {
    if (ms <= 0 || this.#closed || (untilRung && this.#rung)) {
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wake = () => {
        if (untilRung || this.#closed) {
          clearTimeout(timer);
          resolve();
        }
      };
    });
  }

  /** Looks at the database once; returns whether there is more. */
  async #look(): Promise<boolean> {
    const { limits, readFeed } = this.#deps;
    this.#rung = false;
    this.#looks++;
    const { entries, places, heads } = await readFeed(this.#end, limits.eventsPerShard);
    this.#shared.clear();
    if (covers(this.#end, places)) {
      return false;
    }
    this.#lastChange = performance.now();
    this.#end = places;
    for (const entry of entries) this.#add(entry);
    this.#dropOldest();
    for (const listener of this.#listeners) listener();
    return !covers(places, heads.places);
  }

  /** Adds an entry. What it is about is told by it, and not by an earlier one any more. */
  #add(entry: FeedEntry): void {
    const { task, run } = entry;
    if (task) {
      const earlier = this.#newest.get(task.state.id);
      if (earlier?.task) earlier.task = { ...task, before: earlier.task.before, isSuperseded: true };
      this.#newest.set(task.state.id, entry);
    }
    if (run) {
      const earlier = this.#newest.get(run.state.id);
      if (earlier?.run) earlier.run = { ...run, before: earlier.run.before, isSuperseded: true };
      this.#newest.set(run.state.id, entry);
    }
    this.#entries.push(entry);
    this.#bytes += bytesOf(entry);
  }

  #dropOldest(): void {
    const { keptEntries, keptBytes } = this.#deps.limits;
    let dropped = 0;
    while (this.#entries.length - dropped > keptEntries || this.#bytes > keptBytes) {
      const entry = this.#entries[dropped++]!;
      this.#bytes -= bytesOf(entry);
      this.#start = passing(this.#start, entry.shard, entry.position);
      for (const about of [entry.task, entry.run]) {
        if (about && this.#newest.get(about.state.id) === entry) this.#newest.delete(about.state.id);
      }
    }
    this.#entries.splice(0, dropped);
    this.#first += dropped;
  }
}

/** What an entry takes of memory, about. */
function bytesOf({ task, run }: FeedEntry): number {
  const tags =
    task?.state.tags.reduce((sum, { tag, metadata }) => sum + tag.length + metadata.length, 0) ?? 0;
  return 300 + (task ? 1000 + 2 * tags : 0) + (run ? 1000 + 2 * run.state.labels.length : 0);
}
