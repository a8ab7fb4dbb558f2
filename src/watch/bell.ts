/** Wakes one who waits, also if it was rung just before. */
export class Bell {
  #isRung = false;
  #wake = (): void => undefined;

  /** Rings until it is reset. */
  readonly ring = (): void => {
    this.#isRung = true;
    this.#wake();
  };

  /** From now on it has not been rung. */
  reset(): void {
    this.#isRung = false;
  }

  /** Waits until it is rung, or the time is over. */
  async wait(ms = Number.POSITIVE_INFINITY): Promise<void> {
    if (this.#isRung) {
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = Number.isFinite(ms) ? setTimeout(resolve, Math.max(0, ms)) : undefined;
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
