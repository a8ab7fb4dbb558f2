import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { MikroORM } from "@mikro-orm/postgresql";
import type { Logger } from "pino";
import type { Caller } from "../auth/caller.ts";
import { forOrganization } from "../db/organization.ts";
import type { Expiry } from "../task-execution/changes.ts";
import { lockFreeRuns, lockRuns } from "../task-execution/run-statements.ts";
import type { WritePath } from "../task-execution/write-path.ts";
import { leaseLimits } from "./lease-limits.ts";
import { type DuePlace, findDueLeases, lockDueLeases } from "./lease-statements.ts";

/** What the sweeper takes from outside. */
export interface SweeperDeps {
  readonly orm: MikroORM;
  readonly writePath: WritePath;
  readonly log: Logger;
}

/**
 * Ends the attempts whose leases have run out, in every organization.
 *
 * Each process sweeps. They are in each other's way no more than other writers are: whether a lease is due is
 * decided again under the lock of its run, by the database's clock.
 */
export class Sweeper {
  readonly #deps: SweeperDeps;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #stragglers: Promise<void> | undefined;

  constructor(deps: SweeperDeps) {
    this.#deps = deps;
  }

  /** Sweeps from now on. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Stops after the run that is being swept. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    await this.#stragglers;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.sweep();
      } catch (error) {
        this.#deps.log.warn({ err: (error as Error).message }, "could not look for leases that ran out");
      }
      // By chance a little more or less, so that processes do not sweep at the same moment.
      const pause = leaseLimits.sweepMs * (0.75 + Math.random() / 2);
      await sleep(pause, undefined, { ref: false, signal }).catch(() => {});
    }
  }

  /**
   * Looks once at every lease that has run out.
   *
   * Runs that others have locked are left for later, see {@link Sweeper.stragglers}: what is free never waits for
   * them.
   */
  async sweep(): Promise<void> {
    const { orm } = this.#deps;
    const { graceMs, sweepPage: most } = leaseLimits;
    const locked = new Map<string, readonly DuePlace[]>();
    let after: DuePlace | undefined;
    do {
      // Of no organization, and in no transaction: the one function that looks at all of them needs neither.
      const places = await findDueLeases(orm.em.fork(), { graceMs, after, most });
      const byRun = Map.groupBy(places, ({ flowExecutionId }) => flowExecutionId);
      for (const [runId, due] of byRun) {
        if (this.#closing.signal.aborted) return;
        // One page of a locked run is enough: the others come with the next sweeps.
        if (!locked.has(runId) && !(await this.#expire(runId, due, false))) locked.set(runId, due);
      }
      after = places.length === most ? places.at(-1) : undefined;
    } while (after !== undefined);
    this.#stragglers ??= this.#expireLocked(locked).finally(() => {
      this.#stragglers = undefined;
    });
  }

  /** Settles when nobody waits for runs any more that were locked at the last sweep. */
  get stragglers(): Promise<void> {
    return this.#stragglers ?? Promise.resolve();
  }

  /** Waits for runs in turn, beside the sweeps: one that is never free for long would else never be swept. */
  async #expireLocked(locked: ReadonlyMap<string, readonly DuePlace[]>): Promise<void> {
    // Each time in another order: when the first ones keep it waiting, others come first the next time.
    for (const [runId, due] of [...locked].sort(() => Math.random() - 0.5)) {
      if (this.#closing.signal.aborted) return;
      await this.#expire(runId, due, true);
    }
  }

  /**
   * Ends attempts of one run, unless others have the run locked. One that cannot be swept, because something is
   * wrong with it, does not stop the others.
   *
   * @param mayWait whether to wait for the run
   * @returns false if it was locked
   */
  async #expire(flowExecutionId: string, due: readonly DuePlace[], mayWait: boolean): Promise<boolean> {
    const { orm, writePath, log } = this.#deps;
    const { organizationId } = due[0]!;
    const requestId = `sweep-${randomUUID()}`;
    const author = { caller: serviceOf(organizationId), requestId };
    const ids = due.map(({ taskExecutionId }) => taskExecutionId);
    try {
      const results = await writePath.transact(forOrganization(orm, organizationId), author, async (work) => {
        const { em } = work;
        const lock = mayWait ? lockRuns : lockFreeRuns;
        work.take(await lock(em, organizationId, [flowExecutionId]));
        if (work.run(flowExecutionId) === undefined) return undefined;
        // Only now is it certain which are due: with their rows locked no heartbeat comes in between.
        const leases = await lockDueLeases(em, organizationId, ids, leaseLimits.graceMs);
        const changes = leases.map(({ taskExecutionId: id, timedOut }) => expiry(id, timedOut));
        await work.load(changes);
        return writePath.applyTo(work, changes);
      });
      const ended = results?.filter((result) => "record" in result).length ?? 0;
      if (ended > 0) log.info({ organizationId, flowExecutionId, requestId, ended }, "leases ran out");
      return results !== undefined;
    } catch (error) {
      log.warn(
        { organizationId, flowExecutionId, requestId, err: (error as Error).message },
        "could not end attempts",
      );
      return true;
    }
  }
}

function expiry(id: string, timedOut: boolean): Expiry {
  return { type: "expire", id, timedOut };
}

/** Returns the service itself as a caller within an organization. */
function serviceOf(organizationId: string): Caller {
  return { organizationId, subject: "taskledger", kind: "system", role: "worker", keyName: "" };
}
