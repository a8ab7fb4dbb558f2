/**
 * Runs work until the signal aborts: settles as the work does, or rejects at once with the signal's reason.
 *
 * Work that ignores the signal runs on behind a rejected promise; what it throws later is dropped.
 */
export function untilAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const settle = (finish: () => void) => {
      signal.removeEventListener("abort", onAbort);
      finish();
    };
    work().then(
      (value) => settle(() => resolve(value)),
      (error) => settle(() => reject(error)),
    );
  });
}

/**
 * Passes a stream on until the signal aborts, then throws the signal's reason, even while the source is silent.
 *
 * Not a loop around Promise.race: a promise that outlives the items would collect a reaction for each.
 */
export function streamUntilAborted<T>(
  signal: AbortSignal,
  source: AsyncIterable<T>,
): AsyncIterableIterator<T> {
  const iterator = source[Symbol.asyncIterator]();
  const stop = (): void => {
    // A source that waits for its next item answers only when that arrives; nobody waits for the answer.
    iterator.return?.()?.catch(() => undefined);
  };
  return {
    async next() {
      try {
        return await untilAborted(signal, () => iterator.next());
      } catch (error) {
        stop();
        throw error;
      }
    },
    async return(value?: T) {
      stop();
      return { done: true, value };
    },
    async throw(error: unknown) {
      stop();
      throw error;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
