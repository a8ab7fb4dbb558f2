import type { EntityManager } from "@mikro-orm/postgresql";
import { inTransaction } from "../db/transaction.ts";
import { LedgerError } from "../errors.ts";
import type { FlowPlans } from "../flow/flow-plan.ts";
import { applyChange } from "./apply-change.ts";
import type { Author, Change, ChangeResult } from "./changes.ts";
import type { Engine } from "./engine.ts";
import { createSuggest } from "./unknown-task.ts";
import { Workspace } from "./workspace.ts";

/** Work that became ready, or will. */
export interface Ready {
  readonly organizationId: string;
  readonly executors: ReadonlySet<string>;
  /** How long until it can be claimed. */
  readonly delayMs: number;
}

/** What the write path takes from outside. */
export interface WritePathDeps {
  readonly now: () => Date;
  readonly newId: () => string;
  readonly engine: Engine;
  readonly plans: FlowPlans;
  /** Is told after the commit what there is to claim now or later. */
  readonly onReady: (ready: Ready) => void;
  /** Is told after the commit that something of an organization has changed, and by how many events. */
  readonly onChange: (organizationId: string, events: number) => void;
}

/** What one caller wants to be changed. */
export interface WriteRequest {
  readonly author: Author;
  readonly changes: readonly Change[];
}

/** How changes are applied. */
export interface ApplyOptions {
  /** Which refusals fail the whole; by default none. */
  readonly failsAll?: ((refused: LedgerError) => boolean) | undefined;
  /** Whether everything is undone at the end, and only the results returned. */
  readonly isTrial?: boolean | undefined;
}

/** Carries the answer of a transaction that is rolled back because it was only to be tried. */
class Tried extends Error {
  readonly answer: unknown;

  constructor(answer: unknown) {
    super("only tried");
    this.answer = answer;
  }
}

/**
 * The one way by which task executions change: many changes of one organization in one transaction.
 *
 * The runs are locked in the order of their ids, each change is decided by the lifecycle table against the
 * records as the changes before it left them, and what came of it is written by statements that take many
 * rows. Managed runs go on in the same transaction. A refused change does not fail the others.
 */
export class WritePath {
  readonly #deps: WritePathDeps;

  constructor(deps: WritePathDeps) {
    this.#deps = deps;
  }

  /**
   * Applies changes and returns a result for each, in order.
   *
   * @param em the EntityManager of the organization
   * @throws LedgerError a refusal that fails all, CONTENTION, or what the database gives; then nothing was written
   */
  async apply(
    em: EntityManager,
    author: Author,
    changes: readonly Change[],
    { failsAll, isTrial }: ApplyOptions = {},
  ): Promise<ChangeResult[]> {
    const run = async (work: Workspace) => {
      await work.load(changes);
      return this.applyTo(work, changes, failsAll);
    };
    return this.transact(em, author, run, isTrial);
  }

  /**
   * Applies what several callers of one organization want in one transaction, each request as a whole.
   *
   * @param mayWait whether it waits for runs that others have locked; if not, requests about those are left out
   * @returns for each request its results, or the ids of its runs if it has to wait for one of them
   */
  applyTogether(
    em: EntityManager,
    requests: readonly WriteRequest[],
    mayWait: boolean,
  ): Promise<({ readonly value: ChangeResult[] } | { readonly busy: string[] })[]> {
    return this.transact(em, requests[0]!.author, async (work) => {
      const others = new Set(
        await work.load(
          requests.flatMap(({ changes }) => changes),
          [],
          mayWait,
        ),
      );
      const answers = [];
      for (const { author, changes } of requests) {
        const runIds = others.size === 0 ? [] : changes.flatMap((change) => work.runIdOf(change) ?? []);
        if (runIds.some((id) => others.has(id))) {
          // Nor does a later request about any of these runs pass by this one.
          for (const id of runIds) others.add(id);
          answers.push({ busy: runIds });
          continue;
        }
        work.actAs(author);
        answers.push({ value: await this.applyTo(work, changes) });
      }
      return answers;
    });
  }

  /** Like {@link apply}, within a transaction: the runs are locked and the records loaded. */
  async applyTo(
    work: Workspace,
    changes: readonly Change[],
    failsAll: (refused: LedgerError) => boolean = () => false,
  ): Promise<ChangeResult[]> {
    const deps = { suggest: createSuggest(), engine: this.#deps.engine };
    const results: ChangeResult[] = [];
    for (const change of changes) {
      let result: ChangeResult;
      try {
        result = await applyChange(work, change, deps);
      } catch (error) {
        if (!(error instanceof LedgerError) || failsAll(error)) {
          throw error;
        }
        result = { refused: error };
      }
      results.push(result);
    }
    return results;
  }

  /**
   * Runs a transaction that changes runs and their tasks; what becomes ready by it is made ready in it.
   *
   * The function locks what it needs by {@link Workspace.load} before anything else. It may run more than once.
   *
   * @param isTrial whether everything is undone at the end, and only the answer returned
   */
  async transact<T>(
    em: EntityManager,
    author: Author,
    run: (work: Workspace) => Promise<T>,
    isTrial = false,
  ): Promise<T> {
    const { now, newId, plans, engine, onReady, onChange } = this.#deps;
    const { organizationId } = author.caller;
    try {
      const { answer, readied, events } = await inTransaction(em, async (tx) => {
        const work = new Workspace(tx, { author, now: now(), newId, plans });
        const result = await run(work);
        await engine.advance(work);
        await work.finish();
        if (isTrial) throw new Tried(result);
        return { answer: result, readied: work.readied, events: work.eventCount };
      });
      for (const [delayMs, executors] of readied) {
        onReady({ organizationId, executors, delayMs });
      }
      if (events > 0) onChange(organizationId, events);
      return answer;
    } catch (error) {
      if (error instanceof Tried) {
        return error.answer as T;
      }
      throw error;
    }
  }
}
