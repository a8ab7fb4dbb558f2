import { kindOf } from "./statement.ts";

type Query = (...args: unknown[]) => unknown;

/** Holds back what is written until it is let go, so that it goes in one piece. */
interface Outlet {
  cork(): void;
  uncork(): void;
}

/** How long the parameters of a statement may be that is held back. A longer one is sent, and run meanwhile. */
const mostHeld = 32_768;

const noRows = { command: "", rowCount: 0, rows: [] };

/** What the database answers to the commit of a transaction in which something failed. */
const undone = "ROLLBACK";

/**
 * Returns what sends statements over a connection.
 *
 * It sends what nobody reads, such as the begin of a transaction and its writes, together with what comes next: a
 * transaction then waits for the database as often as it asks it something, and not once for each statement.
 *
 * The connection is in pipeline mode, so that the database gets everything in order. A write that fails leaves a
 * transaction that does nothing more and cannot be committed, and its error is thrown by the next statement that is
 * waited for. If that is the commit, the database has undone all by then, and the rollback that follows is not sent:
 * it would be of no transaction, which the database warns of and counts as another one that failed. Each piece that is
 * sent wakes the database up, so short ones go together. Should `begin` be refused, what comes next has no
 * organization, and row-level security gives it nothing.
 */
export function createPipeline(query: Query, outlet: Outlet): Query {
  let isHeld = false;
  let unread: Promise<void>[] = [];
  let failure: { readonly error: unknown } | undefined;
  let isUndone = false;

  async function answerAfterUnread(result: Promise<unknown>): Promise<unknown> {
    const answer = await result.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    // All of them were answered before, in their order.
    await Promise.all(unread);
    if (failure !== undefined) throw failure.error;
    if ("error" in answer) throw answer.error;
    return answer.value;
  }

  function noteUndone(answer: unknown): unknown {
    isUndone = (answer as { command?: string }).command === undone;
    return answer;
  }

  return (first, values, ...rest) => {
    if (typeof first !== "string") {
      return query(first, values, ...rest);
    }
    const { name, isUnread } = kindOf(first);
    if (first === "begin" || first === "rollback") {
      unread = [];
      failure = undefined;
      const wasUndone = isUndone;
      isUndone = false;
      if (wasUndone && first === "rollback") return Promise.resolve(noRows);
    }
    if (isUnread && !isHeld && isShort(values)) {
      isHeld = true;
      outlet.cork();
    }
    const result = (
      name === undefined ? query(first, values) : query({ name, text: first, values })
    ) as Promise<unknown>;
    if (isHeld && !(isUnread && isShort(values))) {
      isHeld = false;
      outlet.uncork();
    }
    if (first === "commit") {
      return answerAfterUnread(result.then(noteUndone));
    }
    if (!isUnread) {
      return answerAfterUnread(result);
    }
    unread.push(
      result.then(
        () => {},
        (error: unknown) => {
          failure ??= { error };
        },
      ),
    );
    return Promise.resolve(noRows);
  };
}

function isShort(values: unknown): boolean {
  if (!Array.isArray(values)) return true;
  return values.reduce((sum, value) => sum + (typeof value === "string" ? value.length : 0), 0) < mostHeld;
}
