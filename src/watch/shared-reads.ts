/**
 * Reads for many streams at once: a few at a time, the others wait their turn, and who wants the same as one that still
 * waits gets its answer.
 *
 * So streams that all come at once, after a server went away, neither take all connections to the database from those
 * who work nor ask for the same a hundred times. What is read was never asked for before it was wanted: an answer is
 * as new as if everybody had asked alone.
 */
export class SharedReads {
  #free: number;
  readonly #queue: (() => void)[] = [];
  readonly #waiting = new Map<string, Promise<unknown>>();

  /** @param atOnce how many reads may be under way */
  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /** Reads; the key says what. */
  read<T>(key: string, make: () => Promise<T>): Promise<T> {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      return waiting as Promise<T>;
    }
    const answer = this.#inTurn(() => {
      this.#waiting.delete(key);
      return make();
    });
    this.#waiting.set(key, answer);
    return answer;
  }

  async #inTurn<T>(make: () => Promise<T>): Promise<T> {
    // Later in any case, so that whoever asks at the same time shares it.
    await new Promise<void>((resolve) => {
      if (this.#free > 0) {
        this.#free--;
        setImmediate(resolve);
      } else {
        this.#queue.push(resolve);
      }
    });
    try {
      return await make();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
