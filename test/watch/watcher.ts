import type { CallOptions } from "@connectrpc/connect";
import type { TaskExecutionChange } from "../../gen/taskledger/v1/task_execution_service_pb.ts";

/** A message of a watch, of either kind. */
export interface Heard {
  readonly resumeToken: string;
  readonly content: { readonly case: string | undefined; readonly value?: unknown };
}

/** One watch, heard message by message. */
export interface Watcher<Response extends Heard> extends AsyncDisposable {
  readonly heard: Response[];
  /** The token of the last message. */
  token(): string;
  /** Waits for the next message; undefined at the end. */
  next(): Promise<Response | undefined>;
  /** Reads on until a message is as asked for, and returns it. */
  until(isIt: (response: Response) => boolean): Promise<Response>;
  /** Reads on until a message of this kind. */
  untilCase(name: NonNullable<Response["content"]["case"]>): Promise<Response>;
  /** Hangs up. */
  close(): void;
}

/** Begins to watch. */
export function listen<Response extends Heard>(
  call: (options: CallOptions) => AsyncIterable<Response>,
): Watcher<Response> {
  const hangUp = new AbortController();
  const iterator = call({ signal: hangUp.signal })[Symbol.asyncIterator]();
  const heard: Response[] = [];
  const watcher: Watcher<Response> = {
    heard,
    token: () => heard.at(-1)?.resumeToken ?? "",
    async next() {
      const result = await iterator.next();
      if (result.done === true) {
        return undefined;
      }
      heard.push(result.value);
      return result.value;
    },
    async until(isIt) {
      for (;;) {
        const response = await watcher.next();
        if (response === undefined) {
          throw new Error(`it ended after ${heard.map(({ content }) => content.case)}`);
        }
        if (isIt(response)) {
          return response;
        }
      }
    },
    untilCase: (name) => watcher.until(({ content }) => content.case === name),
    close: () => hangUp.abort(),
    async [Symbol.asyncDispose]() {
      hangUp.abort();
      // Lets the call end; how it does is not of interest here.
      await iterator.next().catch(() => undefined);
    },
  };
  return watcher;
}

/** Returns `name/idx revision` of each record that was told, and `-id revision` of each that was removed. */
export function describeChanges(changes: readonly TaskExecutionChange[]): string[] {
  return changes.map(({ change, revision }) =>
    change.case === "taskExecution"
      ? `${change.value.taskName}/${change.value.taskExecutionIdx} ${revision}`
      : `-${change.value?.id} ${revision}`,
  );
}
