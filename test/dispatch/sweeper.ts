import { pino } from "pino";
import { createApp } from "../../src/app.ts";
import { Sweeper } from "../../src/dispatch/sweeper.ts";
import type { TestDatabase } from "../database.ts";

/** Makes a sweeper as the service does. */
export function createSweeper({ orm }: Pick<TestDatabase, "orm">, now?: () => Date): Sweeper {
  const log = pino({ level: "silent" });
  const { writePath } = createApp({
    orm,
    authenticate: async () => undefined,
    log,
    readiness: { isReady: () => true, subscribe: () => {} },
    ...(now && { now }),
  });
  return new Sweeper({ orm, writePath, log });
}

/**
 * Returns what looks once for leases that have run out, in every organization, as the service does, and waits for
 * the runs that are locked.
 */
export function sweeperOf(database: Pick<TestDatabase, "orm">, now?: () => Date): () => Promise<void> {
  const sweeper = createSweeper(database, now);
  return async () => {
    await sweeper.sweep();
    await sweeper.stragglers;
  };
}
