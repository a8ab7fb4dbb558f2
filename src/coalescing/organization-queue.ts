import type { CoalescerLimits, Unit } from "./coalescer.ts";

/** A unit whose caller waits for its result. */
export interface Pending<T, R> {
  readonly unit: Unit<T>;
  readonly resolve: (value: R) => void;
  readonly reject: (error: unknown) => void;
  /** Whether it has to wait for others, and so goes only with those that wait for the same. */
  readonly mayWait: boolean;
}

/** What is done in one go. */
export interface Batch<T, R> {
  readonly pending: readonly Pending<T, R>[];
  readonly mayWait: boolean;
  /** Whether it takes longer than usual, so that others do not wait for it. */
  isSlow: boolean;
}

/** How many units one look for the next batch goes through that are not its turn yet. */
const mostPassed = 2000;

/**
 * What waits of one organization, and what of it is under way.
 *
 * Units that share a key are never in two batches at once, and none passes by another one with which it shares a key.
 */
export class OrganizationQueue<T, R> {
  readonly #limits: CoalescerLimits;
  #pending: Pending<T, R>[] = [];
  readonly #busy = new Map<string, number>();
  #running = 0;
  #slow = 0;
  #isWaiting = false;
  #count = 0;
  #bytes = 0;

  constructor(limits: CoalescerLimits) {
    this.#limits = limits;
  }

  /** How many units wait. */
  get length(): number {
    return this.#pending.length;
  }

  /** How many things those are about that wait. */
  get count(): number {
    return this.#count;
  }

  /** How many bytes those have that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether nothing waits and nothing is under way. */
  get isIdle(): boolean {
    return this.#pending.length === 0 && !this.#isWaiting && this.#running === 0;
  }

  push(pending: Pending<T, R>): void {
    this.#add(pending);
    this.#pending.push(pending);
  }

  /**
   * Takes the next batch out, undefined if it is nobody's turn.
   *
   * @param mayWait whether it may be one that waits for others
   * @param onGone is told of each unit that nobody waits for any more
   */
  take(mayWait: boolean, onGone: (pending: Pending<T, R>) => void): Batch<T, R> | undefined {
    const mayWaitHere = mayWait && !this.#isWaiting;
    const mayRun = this.#mayRun();
    if (this.#pending.length === 0 || (!mayRun && !mayWaitHere)) {
      return undefined;
    }
    const taken: Pending<T, R>[] = [];
    const left: Pending<T, R>[] = [];
    const blocked = new Set(this.#busy.keys());
    // What a batch waits for that waits; what it does not wait for goes on in others.
    let waitsFor: Set<string> | undefined;
    let size = { count: 0, bytes: 0 };
    let index = 0;
    for (; index < this.#pending.length && left.length < mostPassed; index++) {
      const pending = this.#pending[index]!;
      const { unit } = pending;
      if (unit.signal.aborted) {
        this.#remove(pending);
        onGone(pending);
        pending.reject(unit.signal.reason);
        continue;
      }
      const sum = { count: size.count + unit.count, bytes: size.bytes + unit.bytes };
      const fits =
        taken.length === 0 || (sum.count <= this.#limits.batchCount && sum.bytes <= this.#limits.batchBytes);
      const isFree = !unit.keys.some((key) => blocked.has(key));
      const starts = taken.length === 0 && (pending.mayWait ? mayWaitHere : mayRun);
      const joins =
        taken.length > 0 &&
        (waitsFor === undefined ? !pending.mayWait : unit.keys.every((key) => waitsFor?.has(key)));
      if (isFree && fits && (starts || joins)) {
        if (pending.mayWait && taken.length === 0) waitsFor = new Set(unit.keys);
        taken.push(pending);
        size = sum;
        continue;
      }
      if (isFree && !fits) break;
      for (const key of unit.keys) blocked.add(key);
      left.push(pending);
    }
    this.#pending = [...left, ...this.#pending.slice(index)];
    if (taken.length === 0) {
      return undefined;
    }
    for (const pending of taken) {
      this.#remove(pending);
      for (const key of pending.unit.keys) this.#busy.set(key, (this.#busy.get(key) ?? 0) + 1);
    }
    const isWaiting = waitsFor !== undefined;
    if (isWaiting) this.#isWaiting = true;
    else this.#running++;
    return { pending: taken, mayWait: isWaiting, isSlow: false };
  }

  /** A further batch begins when there is enough for it, or the others are slow: small ones cost more than they gain. */
  #mayRun(): boolean {
    const { lanes, crowd } = this.#limits;
    return this.#running < lanes && (this.#running === this.#slow || this.#count >= crowd);
  }

  /** Says that a batch takes longer than usual. */
  noteSlow(batch: Batch<T, R>): void {
    if (!batch.mayWait) {
      batch.isSlow = true;
      this.#slow++;
    }
  }

  /** Says that a batch is done, but for some units, which come first now. */
  finish(batch: Batch<T, R>, again: readonly Pending<T, R>[]): void {
    if (batch.mayWait) this.#isWaiting = false;
    else this.#running--;
    if (batch.isSlow) this.#slow--;
    for (const { unit } of batch.pending) {
      for (const key of unit.keys) {
        const left = this.#busy.get(key)! - 1;
        if (left === 0) this.#busy.delete(key);
        else this.#busy.set(key, left);
      }
    }
    for (const pending of again) this.#add(pending);
    this.#pending.unshift(...again);
  }

  #add({ unit }: Pending<T, R>): void {
    this.#count += unit.count;
    this.#bytes += unit.bytes;
  }

  #remove({ unit }: Pending<T, R>): void {
    this.#count -= unit.count;
    this.#bytes -= unit.bytes;
  }
}
