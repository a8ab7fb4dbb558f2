/** How many times what was done in a second before there is for each second. */
const margin = 2;

/** Measures a rate of work that is taken from a queue, which is filled before. The filling does not count. */
export class Refill {
  readonly #fill: (depth: number) => Promise<void>;
  readonly #settle: () => Promise<void>;
  #fastest: number;

  /**
   * @param settle what is done after filling
   * @param guess about how many are done in a second
   */
  constructor(fill: (depth: number) => Promise<void>, settle: () => Promise<void>, guess: number) {
    this.#fill = fill;
    this.#settle = settle;
    this.#fastest = guess;
  }

  async measure(seconds: number, work: (seconds: number) => Promise<number>): Promise<number> {
    await this.#fill(this.#fastest * seconds * margin);
    await this.#settle();
    const rate = await work(seconds);
    this.#fastest = Math.max(this.#fastest, rate);
    return rate;
  }
}
