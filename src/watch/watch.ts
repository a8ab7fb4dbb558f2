import type { Message } from "@bufbuild/protobuf";
import type { EntityManager } from "@mikro-orm/postgresql";
import type { Caller } from "../auth/caller.ts";
import { LedgerError, notFound } from "../errors.ts";
import type { RunView } from "../flow-execution/flow-execution.message.ts";
import type { SealedPlaces } from "../page-token/sealed-places.ts";
import { shardCount, shardOf } from "../task-execution/feed-shard.ts";
import { Bell } from "./bell.ts";
import { encodeOnce } from "./encode-once.ts";
import { type FeedEntry, type FeedPage, readFeed } from "./feed-statements.ts";
import type { Feeds } from "./feeds.ts";
import type { FeedCursor, OrganizationFeed, Taken } from "./organization-feed.ts";
import { covers, passing } from "./places.ts";
import { readResumeToken, resumeTokenInvalid, writeResumeToken } from "./resume-token.ts";
import { readStart, type Start } from "./snapshot-statements.ts";
import { isOver, type ResyncReason, type Told, type WatchKind } from "./watch-kind.ts";

/** What a watch takes from outside. */
export interface WatchDeps {
  readonly feeds: Feeds;
  readonly sealed: SealedPlaces;
  readonly now: () => Date;
  /** From 0 up to, and without, 1. */
  readonly random: () => number;
}

/** Who watches, and from where on. */
export interface WatchCall {
  readonly caller: Caller;
  readonly signal: AbortSignal;
  /** Throws if the credential is not valid any more. */
  readonly recheck: () => Promise<void>;
  readonly resumeToken: string;
  readonly changesOnly: boolean;
  /** Whether the answers go out as JSON. */
  readonly isJson: boolean;
}

/** What came of going on in the feed. */
interface Step<Response> {
  readonly cursor: FeedCursor;
  readonly response: Response | undefined;
  readonly resync: ResyncReason | undefined;
  /** Whether that is all there was. */
  readonly isEnd: boolean;
  /** The watched run, if it changed. */
  readonly run: RunView | undefined;
}

/**
 * Tells what there is and what changes: see WatchTaskExecutions for the order of the messages.
 *
 * All it holds is where it is; what it tells is read when the message before was taken. What it holds elsewhere is
 * given back when the signal aborts, never only at the end of the iterator.
 */
export async function* watch<Item, Change, Response extends Message>(
  deps: WatchDeps,
  call: WatchCall,
  kind: WatchKind<Item, Change, Response>,
): AsyncGenerator<Response> {
  const { limits } = deps.feeds;
  const self = new Watch(deps, call, kind);
  const expires = performance.now() + limits.ageMs * (1 + deps.random());
  let checked = performance.now();
  for await (const response of self.tell()) {
    const told = performance.now();
    self.told = told;
    yield response;
    const taken = performance.now();
    if (taken - told > limits.stallMs) {
      throw slowConsumer(limits.stallMs);
    }
    if (taken > expires) {
      const message = "the watch has lasted long enough; resume it with the token of its last message";
      throw new LedgerError("WATCH_EXPIRED", message, { retryAfterMs: 100 });
    }
    if (taken - checked > limits.recheckMs) {
      await call.recheck();
      checked = taken;
    }
  }
}

class Watch<Item, Change, Response extends Message> {
  /** When the last message was told. */
  told = performance.now();
  readonly #deps: WatchDeps;
  readonly #call: WatchCall;
  readonly #kind: WatchKind<Item, Change, Response>;
  #feed!: OrganizationFeed;
  #cursor!: FeedCursor;
  #after: string | undefined;
  /** What was read of the database because the feed does not keep it any more, and how much of it is told. */
  #page: { readonly read: FeedPage; next: number } | undefined;
  /** The watched run, if nothing more is to come of it. */
  #over: RunView | undefined;
  #isAtEnd = false;
  readonly #bell = new Bell();

  constructor(deps: WatchDeps, call: WatchCall, kind: WatchKind<Item, Change, Response>) {
    this.#deps = deps;
    this.#call = call;
    this.#kind = kind;
  }

  async *tell(): AsyncGenerator<Response> {
    const { feeds } = this.#deps;
    const { caller, signal } = this.#call;
    signal.addEventListener("abort", this.#bell.ring, { once: true });
    this.#feed = await feeds.join(caller, this.#bell.ring, signal);
    let resync = await this.#begin();
    for (;;) {
      if (resync !== undefined) {
        const { heads } = await this.#look();
        this.#cursor = { places: heads.places, next: undefined };
        this.#page = undefined;
        this.#after = "";
        yield await this.#response({ case: "resync", reason: resync });
      }
      yield* this.#tellSnapshot();
      resync = (yield* this.#catchUp()) ?? (yield* this.#follow());
      if (resync === undefined) {
        yield await this.#response({ case: "end", run: this.#over! });
        return;
      }
    }
  }

  /** Finds out where to begin; returns why everything is to be told anew, if it is. */
  async #begin(): Promise<ResyncReason | undefined> {
    const { sealed, now, feeds } = this.#deps;
    const { resumeToken, changesOnly } = this.#call;
    const { runId, flowId, scope } = this.#kind;
    const { heads, run, hasFlow } = await this.#look();
    if (runId !== undefined && run === undefined) {
      throw notFound("flow execution");
    }
    if (flowId !== undefined && !hasFlow) {
      throw notFound("flow");
    }
    if (resumeToken === "") {
      this.#cursor = { places: heads.places, next: undefined };
      this.#after = changesOnly ? undefined : "";
      return undefined;
    }
    const { places, after, issued } = await this.#read(`token ${resumeToken}`, (em) =>
      readResumeToken(sealed, em, scope, resumeToken),
    );
    if (!covers(heads.places, places)) {
      throw resumeTokenInvalid();
    }
    this.#cursor = { places, next: undefined };
    this.#after = after;
    const isTooOld = now().getTime() - issued * 1000 > feeds.limits.tokenMs;
    return isTooOld || !covers(places, heads.pruned) ? "token too old" : undefined;
  }

  /** Tells what there is, page by page. What has changed since the beginning is left to what follows. */
  async *#tellSnapshot(): AsyncGenerator<Response, void> {
    while (this.#after !== undefined) {
      const { places } = this.#cursor;
      const from = this.#after;
      const { changes, after } = await this.#read(`${this.#kind.key} ${places} ${from}`, async (em) => {
        const page = await this.#kind.readSnapshot(em, places, from);
        return { changes: await this.#kind.toChanges(page.items, (make) => make(em)), after: page.after };
      });
      this.#after = after;
      if (changes.length > 0) yield await this.#response({ case: "snapshot", changes });
      else yield* this.#breakSilence();
    }
  }

  /** Tells what has changed since, up to now. */
  async *#catchUp(): AsyncGenerator<Response, ResyncReason | undefined> {
    const {
      run,
      heads: { places },
    } = await this.#look();
    this.#over = run && isOver(run) ? run : undefined;
    while (!covers(this.#cursor.places, places)) {
      const resync = yield* this.#advance();
      if (resync !== undefined) return resync;
      yield* this.#breakSilence();
      if (this.#isAtEnd && !covers(this.#cursor.places, places)) {
        // The feed of this process has not come as far yet.
        this.#feed.ring();
        await this.#pause();
      }
    }
    yield await this.#response({ case: "synced" });
    return undefined;
  }

  /** Tells what changes, until the watched run is over. */
  async *#follow(): AsyncGenerator<Response, ResyncReason | undefined> {
    while (this.#over === undefined) {
      const resync = yield* this.#advance();
      if (resync !== undefined) return resync;
      yield* this.#breakSilence();
      if (this.#isAtEnd && this.#over === undefined) await this.#pause();
    }
    return undefined;
  }

  /** Goes on in the feed by one message at most. */
  async *#advance(): AsyncGenerator<Response, ResyncReason | undefined> {
    this.#call.signal.throwIfAborted();
    this.#bell.reset();
    const { next } = this.#cursor;
    const step =
      next === undefined
        ? await this.#step()
        : await this.#feed.share(`${next} ${this.#call.isJson} ${this.#kind.key}`, () => this.#step());
    this.#cursor = step.cursor;
    this.#isAtEnd = step.isEnd;
    if (step.run !== undefined) this.#over = isOver(step.run) ? step.run : undefined;
    if (step.response !== undefined) yield step.response;
    return step.resync;
  }

  /** Makes the next message. It depends on nothing but the cursor, if that is one of this feed, and the kind. */
  async #step(): Promise<Step<Response>> {
    const { changesPerMessage, messageBytes } = this.#deps.feeds.limits;
    const { runId } = this.#kind;
    const items: Item[] = [];
    let bytes = 0;
    let resync: ResyncReason | undefined;
    let run: RunView | undefined;
    const taken = await this.#take((entry) => {
      if (entry.flowExecutionId === runId && entry.run?.isSuperseded === false) run = entry.run.state;
      const picked = this.#kind.pick(entry);
      if (picked === "resync") {
        resync = "undeleted";
      } else if (picked !== undefined) {
        items.push(...picked.items);
        bytes += picked.bytes;
      }
      return resync !== undefined || items.length >= changesPerMessage || bytes >= messageBytes;
    });
    if (taken === undefined) {
      const cursor = this.#cursor;
      return { cursor, response: undefined, resync: "token too old", isEnd: false, run: undefined };
    }
    const { cursor, isEnd } = taken;
    const key = `changes ${this.#kind.key} ${this.#cursor.places} ${cursor.places}`;
    const changes = await this.#kind.toChanges(items, (make) => this.#read(key, make));
    const response =
      changes.length === 0 ? undefined : await this.#response({ case: "changes", changes }, cursor);
    return { cursor, response, resync, isEnd, run };
  }

  /** Takes what comes next, from the feed or from the database; undefined if it is not there any more. */
  async #take(isFull: (entry: FeedEntry) => boolean): Promise<Taken | undefined> {
    if (this.#page === undefined) {
      const taken = this.#feed.take(this.#cursor, isFull);
      if (taken !== undefined) {
        return taken;
      }
      const read = await this.#readPage();
      if (!covers(this.#cursor.places, read.heads.pruned)) {
        return undefined;
      }
      this.#page = { read, next: 0 };
    }
    const { read, next } = this.#page;
    let { places } = this.#cursor;
    for (let index = next; index < read.entries.length; index++) {
      const entry = read.entries[index]!;
      places = passing(places, entry.shard, entry.position);
      if (isFull(entry)) {
        this.#page.next = index + 1;
        return { cursor: { places, next: undefined }, isEnd: false };
      }
    }
    this.#page = undefined;
    return { cursor: { places: read.places, next: undefined }, isEnd: false };
  }

  #readPage(): Promise<FeedPage> {
    const { runId: id } = this.#kind;
    const run = id === undefined ? undefined : { id, shard: shardOf(id) };
    const most = this.#deps.feeds.limits.changesPerMessage / (run === undefined ? shardCount : 1);
    const { places } = this.#cursor;
    const { organizationId } = this.#call.caller;
    return this.#read(`feed ${id} ${places}`, (em) => readFeed(em, organizationId, places, most, run));
  }

  /** Returns how things are now. */
  #look(): Promise<Start> {
    const { runId, flowId } = this.#kind;
    const { organizationId } = this.#call.caller;
    return this.#read(`start ${runId} ${flowId}`, (em) => readStart(em, organizationId, this.#kind));
  }

  #read<T>(key: string, make: (em: EntityManager) => Promise<T>): Promise<T> {
    return this.#deps.feeds.read(this.#call.caller.organizationId, key, make);
  }

  async #response(told: Told<Change>, { places } = this.#cursor): Promise<Response> {
    const place = { places, after: this.#after };
    const { feeds, sealed } = this.#deps;
    const em = feeds.em(this.#call.caller.organizationId);
    const token = await writeResumeToken(sealed, em, this.#kind.scope, place);
    const response = this.#kind.toResponse(token, told);
    return this.#call.isJson ? response : encodeOnce(this.#kind.desc, response);
  }

  async *#breakSilence(): AsyncGenerator<Response, void> {
    if (performance.now() - this.told >= this.#deps.feeds.limits.keepaliveMs) {
      yield await this.#response({ case: "keepalive" });
    }
  }

  /** Waits until something has changed, or it is time to say that nothing has. */
  #pause(): Promise<void> {
    const silentMs = performance.now() - this.told;
    return this.#bell.wait(this.#deps.feeds.limits.keepaliveMs - silentMs);
  }
}

function slowConsumer(stallMs: number): LedgerError {
  const message = `nothing was read for ${stallMs / 1000} seconds; resume the watch with the token of its last message`;
  return new LedgerError("SLOW_CONSUMER", message);
}
