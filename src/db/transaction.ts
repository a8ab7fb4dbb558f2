import { setTimeout as sleep } from "node:timers/promises";
import type { EntityManager } from "@mikro-orm/postgresql";
import { LedgerError } from "../errors.ts";
import { isRepeatable } from "./sql-state.ts";

/** How often a transaction is run at most that others keep in the way of. */
const attempts = 4;

/** Thrown inside a transaction that lost a race it will not lose again: it is rolled back and run anew. */
export class LostRace extends Error {}

/**
 * Runs a transaction in the organization of an EntityManager, again if it was in the way of another.
 *
 * The function may run more than once: it must do nothing outside of the transaction.
 *
 * @throws LedgerError CONTENTION if it was in the way each time
 */
export async function inTransaction<T>(
  em: EntityManager,
  run: (em: EntityManager) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await em.fork().transactional(run);
    } catch (error) {
      if (!(error instanceof LostRace) && !isRepeatable(error)) {
        throw error;
      }
      if (attempt === attempts) {
        throw new LedgerError(
          "CONTENTION",
          "too many concurrent changes of the same records; repeat the request",
          {
            retryAfterMs: 100,
            cause: error,
          },
        );
      }
      await sleep(Math.random() * 20 * attempt);
    }
  }
}
