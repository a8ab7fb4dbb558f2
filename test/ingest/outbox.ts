/** What a client sends one after the other, when it likes to. */
export interface Outbox<T> extends AsyncIterable<T> {
  send(...items: readonly T[]): void;
  end(): void;
  /** How many items were taken. */
  readonly taken: number;
}

/** Creates an outbox with some items in it. */
export function createOutbox<T>(...items: readonly T[]): Outbox<T> {
  const waiting = [...items];
  let [taken, isOver] = [0, false];
  let wake = (): void => undefined;
  return {
    get taken() {
      return taken;
    },
    send(...more) {
      waiting.push(...more);
      wake();
    },
    end() {
      isOver = true;
      wake();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (waiting.length > 0) {
          taken++;
          yield waiting.shift()!;
        }
        if (isOver) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
