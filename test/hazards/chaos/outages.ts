/**
 * When nobody could be expected to end a lease: the database was away, a server was paused or all were down, or the
 * machine was too busy.
 */
export class Outages {
  readonly #spans: { begin: number; end: number }[] = [];

  /** Notes an outage that lasts until a promise is fulfilled. */
  async during<T>(work: Promise<T>): Promise<T> {
    const span = { begin: Date.now(), end: Number.POSITIVE_INFINITY };
    this.#spans.push(span);
    try {
      return await work;
    } finally {
      span.end = Date.now();
    }
  }

  /** Notes an outage that is over. */
  note(begin: number, end: number): void {
    this.#spans.push({ begin, end });
  }

  /** Returns how many milliseconds between two times were outages. */
  within(begin: number, end: number): number {
    let until = begin;
    let total = 0;
    for (const span of this.#spans.toSorted((a, b) => a.begin - b.begin)) {
      const from = Math.max(until, span.begin);
      const to = Math.min(end, span.end);
      if (to > from) {
        total += to - from;
        until = to;
      }
    }
    return total;
  }
}
