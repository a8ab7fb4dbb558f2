import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { toLedgerError } from "../db/sql-state.ts";
import { LedgerError, problemCodes } from "../errors.ts";
import { internal } from "../server/error-shape.ts";
import type { Author, ChangeResult, Report } from "../task-execution/changes.ts";
import type { CoalescedWrites } from "../task-execution/coalesced-writes.ts";
import type { IngestLimits } from "./ingest-limits.ts";

/** A report of a stream, until it is settled. */
export interface IngestItem {
  readonly sequenceNumber: bigint;
  readonly report: Report;
  /** Names its record. */
  readonly key: string;
  /** What it holds in memory, about. */
  readonly bytes: number;
  /** The next one of the stream with the same key, which waits for this one. */
  next: IngestItem | undefined;
}

/** What the writer of a stream takes from outside. */
export interface IngestWriterDeps {
  /** Takes the items of a run that arrived together as one; what arrives at the same time is written together behind it. */
  readonly writes: Pick<CoalescedWrites, "apply">;
  readonly limits: Pick<IngestLimits, "retryMs">;
  /** Is told of an item that could not be written for a reason that the caller may not know. */
  readonly onDefect: (error: unknown, requestId: string) => void;
}

/** Hears what becomes of items. */
export interface IngestListener {
  /** An item is written, or refused for good. */
  settled(item: IngestItem, result: ChangeResult): void;
  /** An item is given up: whether it was written nobody knows. */
  lost(item: IngestItem, failure: unknown): void;
}

/**
 * Writes the items of a stream, again if that can help: who sends them hears of each when it is settled, one way or
 * the other.
 *
 * Those of a run that arrived together are one request to the write path; if it fails, each is tried alone. No item
 * waits for another, but for one with the same key, or while the service is too busy for any.
 */
export class IngestWriter {
  readonly #deps: IngestWriterDeps;
  readonly #author: Author;
  readonly #signal: AbortSignal;
  readonly #listener: IngestListener;
  /** By its key, the last item of each record that is not settled. */
  readonly #last = new Map<string, IngestItem>();
  /** By its run, what is begun next. */
  #gathered = new Map<string, IngestItem[]>();
  /** Ends when the service may be less busy. Until then no item is begun. */
  #pause: Promise<void> | undefined;
  #isStopped = false;
  /** Why items are given up. Then none is begun any more: it could overtake an earlier one of its key. */
  #loss: { readonly failure: unknown } | undefined;

  /** @param signal aborts when nobody waits for the items any more */
  constructor(deps: IngestWriterDeps, author: Author, signal: AbortSignal, listener: IngestListener) {
    this.#deps = deps;
    this.#author = author;
    this.#signal = signal;
    this.#listener = listener;
  }

  /** Settles when the service may be less busy, undefined if it is not too busy. */
  get pause(): Promise<void> | undefined {
    return this.#pause;
  }

  /** Takes an item, which is begun by {@link flush}, or when the one before it with its key is settled. */
  add(item: IngestItem): void {
    const before = this.#last.get(item.key);
    this.#last.set(item.key, item);
    if (before === undefined) this.#gather(item);
    else before.next = item;
  }

  /** Begins what was taken. */
  flush(): void {
    if (this.#gathered.size === 0) return;
    const gathered = this.#gathered;
    this.#gathered = new Map();
    for (const items of gathered.values()) void this.#write(items);
  }

  /** Says that the stream ends: what cannot be written now is not tried again. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Begins no items any more. */
  giveUp(failure: unknown): void {
    this.#isStopped = true;
    this.#loss ??= { failure };
  }

  #gather(item: IngestItem): void {
    const { flowExecutionId } = item.report;
    const items = this.#gathered.get(flowExecutionId);
    if (items === undefined) this.#gathered.set(flowExecutionId, [item]);
    else items.push(item);
  }

  /**
   * Writes items of one run. Never rejects.
   *
   * @param until when it is no use any more to try again
   */
  async #write(
    items: readonly IngestItem[],
    until = performance.now() + this.#deps.limits.retryMs,
  ): Promise<void> {
    while (this.#pause) await this.#pause;
    if (this.#loss !== undefined) {
      this.#lose(items, this.#loss.failure);
      return;
    }
    const request = {
      author: this.#author,
      changes: items.map(({ report }) => report),
      timeoutMs: undefined,
      signal: this.#signal,
    };
    let results: ChangeResult[];
    try {
      results = await this.#deps.writes.apply(request);
    } catch (error) {
      this.#fail(items, error, until);
      return;
    }
    for (const [index, item] of items.entries()) {
      const result = results[index]!;
      const trouble = "refused" in result ? troubleOf(result.refused) : undefined;
      if (trouble === undefined) this.#settle(item, result);
      else void this.#again([item], trouble, until);
    }
    this.flush();
  }

  /** Decides what to do with items none of which was written. */
  #fail(items: readonly IngestItem[], error: unknown, until: number): void {
    if (this.#signal.aborted) {
      this.#lose(items, this.#signal.reason);
      return;
    }
    const known = error instanceof LedgerError ? error : toLedgerError(error);
    const trouble = known && troubleOf(known);
    if (items.length > 1 && !isForAll(trouble)) {
      for (const item of items) void this.#write([item], until);
    } else if (trouble !== undefined) {
      void this.#again(items, trouble, until);
    } else {
      if (known === undefined) this.#deps.onDefect(error, this.#author.requestId);
      for (const item of items) this.#settle(item, { refused: known ?? internal(error) });
      this.flush();
    }
  }

  /** Tries again, or gives up. While the service is too busy nothing else is begun either. */
  async #again(items: readonly IngestItem[], { code, error }: Trouble, until: number): Promise<void> {
    const { retryAfterMs } = error.facts;
    const isOver = this.#isStopped || performance.now() >= until;
    if (isOver || code === Code.Unavailable || retryAfterMs === undefined) {
      this.#lose(items, error);
      return;
    }
    if (code === Code.ResourceExhausted) {
      this.#pause ??= sleep(retryAfterMs).then(() => {
        this.#pause = undefined;
      });
    } else {
      await sleep(retryAfterMs);
    }
    void this.#write(items, until);
  }

  #settle(item: IngestItem, result: ChangeResult): void {
    if (item.next !== undefined) this.#gather(item.next);
    else this.#last.delete(item.key);
    this.#listener.settled(item, result);
  }

  /** Gives up items, and what waits for them. */
  #lose(items: readonly IngestItem[], failure: unknown): void {
    this.giveUp(failure);
    for (const item of items) {
      this.#last.delete(item.key);
      for (let each: IngestItem | undefined = item; each !== undefined; each = each.next) {
        this.#listener.lost(each, failure);
      }
    }
  }
}

/** What was wrong with the service, and not with an item. */
interface Trouble {
  readonly code: Code;
  readonly error: LedgerError;
}

function troubleOf(error: LedgerError): Trouble | undefined {
  const code = problemCodes[error.problem];
  const isTrouble =
    code === Code.Unavailable || code === Code.DeadlineExceeded || error.facts.retryAfterMs !== undefined;
  return isTrouble ? { code, error } : undefined;
}

/** Whether each item alone would meet with the same. What others keep in the way of may be one of them. */
function isForAll(trouble: Trouble | undefined): boolean {
  return trouble !== undefined && trouble.code !== Code.Aborted;
}
