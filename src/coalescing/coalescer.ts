import { LedgerError } from "../errors.ts";
import { type Batch, OrganizationQueue, type Pending } from "./organization-queue.ts";

/** What one caller wants to have done together with what others want: as a whole, in one batch. */
export interface Unit<T> {
  readonly item: T;
  /** What must not be under way in two batches at once: whoever shares a key is served in the order of arrival. */
  readonly keys: readonly string[];
  /** How many things it is about. */
  readonly count: number;
  /** What it holds in memory, about. */
  readonly bytes: number;
  /** How long its caller waits, in milliseconds; undefined for as long as it takes. */
  readonly timeoutMs: number | undefined;
  /** Fires when nobody waits for it any more: then it is not begun. */
  readonly signal: AbortSignal;
}

/** What became of one unit: its result, why it failed, or by which keys it would have to wait for others. */
export type Outcome<R> = { readonly value: R } | { readonly error: unknown } | { readonly busy: string[] };

/** How much is done at once, and waits. */
export interface CoalescerLimits {
  /** Batches under way in this process. */
  readonly batches: number;
  /** Batches under way of one organization, so that one is prepared while the database works on another. */
  readonly lanes: number;
  /** How many things wait before a further batch of an organization begins. With fewer, they wait for the one before. */
  readonly crowd: number;
  /** How long a batch is waited for like this, in milliseconds. */
  readonly slowMs: number;
  /** How many things one batch is about; a unit that is larger goes alone. */
  readonly batchCount: number;
  /** How many bytes one batch has; a unit that is larger goes alone. */
  readonly batchBytes: number;
  /** How many things of one organization wait, and how many bytes. */
  readonly queuedCount: number;
  readonly queuedBytes: number;
  /** How many bytes of all organizations wait together. */
  readonly queuedBytesOfAll: number;
}

/** What a coalescer takes from outside. */
export interface CoalescerDeps<T, R> {
  readonly limits: CoalescerLimits;
  /**
   * Does the units of one organization in one go, and returns what became of each, in order.
   *
   * @param how.mayWait whether it waits for what others hold; if not, it answers `busy` for such units
   * @param how.timeoutMs how long the most patient of the callers waits
   */
  process(
    organizationId: string,
    units: readonly Unit<T>[],
    how: { readonly mayWait: boolean; readonly timeoutMs: number | undefined },
  ): Promise<Outcome<R>[]>;
  /** Reports whether an error would befall every unit alike, alone or together. */
  isCommon(error: unknown): boolean;
}

/**
 * Does in one go what many callers want at the same time.
 *
 * While a batch of an organization is under way, what arrives joins the next one, which begins when that one ends, or
 * before if there is enough for it: nobody waits for others to come, and who comes alone goes at once. What fails as a
 * batch is done again one by one, so that nobody fails for another. What has to wait for others, because they hold a
 * lock, leaves its batch and waits on its own. Organizations take turns.
 */
export class Coalescer<T, R> {
  readonly #deps: CoalescerDeps<T, R>;
  /** In the order of their turns. */
  readonly #queues = new Map<string, OrganizationQueue<T, R>>();
  #running = 0;
  #waiting = 0;
  #queuedBytes = 0;
  #isScheduled = false;

  constructor(deps: CoalescerDeps<T, R>) {
    this.#deps = deps;
  }

  /**
   * Does a unit, and returns its result.
   *
   * @throws LedgerError TOO_MANY_REQUESTS if too much waits already; and whatever its processing throws
   */
  submit(organizationId: string, unit: Unit<T>): Promise<R> {
    const { limits } = this.#deps;
    const queue = this.#queues.get(organizationId) ?? new OrganizationQueue<T, R>(limits);
    const isFull =
      queue.length > 0 &&
      (queue.count + unit.count > limits.queuedCount ||
        queue.bytes + unit.bytes > limits.queuedBytes ||
        this.#queuedBytes + unit.bytes > limits.queuedBytesOfAll);
    if (isFull) {
      return Promise.reject(full(queue.count));
    }
    this.#queues.set(organizationId, queue);
    this.#queuedBytes += unit.bytes;
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    queue.push({ unit, resolve, reject, mayWait: false });
    this.#schedule();
    return promise;
  }

  /** What arrives in the same turn of the event loop goes together, even when nothing is under way. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      while (this.#startNext());
    });
  }

  /** Starts one batch of each organization whose turn it is, and reports whether there may be more. */
  #startNext(): boolean {
    const { batches } = this.#deps.limits;
    let hasStarted = false;
    for (const [organizationId, queue] of [...this.#queues]) {
      if (this.#running >= batches) return false;
      // Who waits for others takes at most half of the places.
      const batch = queue.take(this.#waiting < Math.ceil(batches / 2), (left) => this.#forget(left));
      if (batch === undefined) {
        if (queue.isIdle) this.#queues.delete(organizationId);
        continue;
      }
      this.#queues.delete(organizationId);
      this.#queues.set(organizationId, queue);
      hasStarted = true;
      void this.#run(organizationId, queue, batch);
    }
    return hasStarted;
  }

  async #run(organizationId: string, queue: OrganizationQueue<T, R>, batch: Batch<T, R>): Promise<void> {
    this.#running++;
    if (batch.mayWait) this.#waiting++;
    for (const pending of batch.pending) this.#forget(pending);
    const onSlow = () => {
      queue.noteSlow(batch);
      this.#schedule();
    };
    const timer = setTimeout(onSlow, this.#deps.limits.slowMs);
    const outcomes = await this.#outcomesOf(organizationId, batch);
    clearTimeout(timer);
    const again: Pending<T, R>[] = [];
    for (const [index, outcome] of outcomes.entries()) {
      const pending = batch.pending[index]!;
      if ("value" in outcome) {
        pending.resolve(outcome.value);
      } else if ("error" in outcome) {
        pending.reject(outcome.error);
      } else {
        const keys = [...new Set([...pending.unit.keys, ...outcome.busy])];
        again.push({ ...pending, unit: { ...pending.unit, keys }, mayWait: true });
        this.#queuedBytes += pending.unit.bytes;
      }
    }
    queue.finish(batch, again);
    this.#running--;
    if (batch.mayWait) this.#waiting--;
    this.#schedule();
  }

  async #outcomesOf(organizationId: string, { pending, mayWait }: Batch<T, R>): Promise<Outcome<R>[]> {
    const units = pending.map(({ unit }) => unit);
    try {
      return await this.#process(organizationId, units, mayWait);
    } catch (error) {
      if (units.length === 1 || this.#deps.isCommon(error)) {
        return units.map(() => ({ error }));
      }
    }
    const outcomes: Outcome<R>[] = [];
    const passed = new Set<string>();
    for (const unit of units) {
      // It must not pass by one that has to wait.
      const outcome = unit.keys.some((key) => passed.has(key))
        ? { busy: [] }
        : await this.#alone(organizationId, unit, mayWait);
      if ("busy" in outcome) for (const key of unit.keys) passed.add(key);
      outcomes.push(outcome);
    }
    return outcomes;
  }

  #process(organizationId: string, units: readonly Unit<T>[], mayWait: boolean): Promise<Outcome<R>[]> {
    const longest = Math.max(...units.map(({ timeoutMs }) => timeoutMs ?? Number.POSITIVE_INFINITY));
    const timeoutMs = Number.isFinite(longest) ? longest : undefined;
    return this.#deps.process(organizationId, units, { mayWait, timeoutMs });
  }

  async #alone(organizationId: string, unit: Unit<T>, mayWait: boolean): Promise<Outcome<R>> {
    try {
      const [outcome] = await this.#process(organizationId, [unit], mayWait);
      return outcome!;
    } catch (error) {
      return { error };
    }
  }

  #forget({ unit }: Pending<T, R>): void {
    this.#queuedBytes -= unit.bytes;
  }
}

function full(count: number): LedgerError {
  return new LedgerError("TOO_MANY_REQUESTS", `${count} changes or reads wait already; repeat the request`, {
    retryAfterMs: 200,
  });
}
