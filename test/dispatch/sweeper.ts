import { pino } from "pino";
import { createApp } from "../../src/app.ts";
import { Sweeper } from "../../src/dispatch/sweeper.ts";
import type { TestDatabase } from "../database.ts";

/** Returns what looks once for leases that have run out, in every organization, as the service does. */
export function sweeperOf({ orm }: Pick<TestDatabase, "orm">, now?: () => Date): () => Promise<void> {
  const log = pino({ level: "silent" });
  const { writePath } = createApp({
    orm,
    authenticate: async () => undefined,
    log,
    readiness: { isReady: () => true, subscribe: () => {} },
    ...(now && { now }),
  });
  const sweeper = new Sweeper({ orm, writePath, log });
  return () => sweeper.sweep();
}
