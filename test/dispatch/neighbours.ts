import { type Fleet, openFleet } from "./fleet.ts";
import { openRunCheck, type RunCheck } from "./run-check.ts";
import { sweeperOf } from "./sweeper.ts";

/** Two organizations of one database, and what looks after their leases. */
export interface Neighbours {
  readonly fleet: Fleet;
  readonly neighbour: Fleet;
  readonly check: RunCheck;
  /** Ends the attempts whose leases have run out. */
  readonly sweep: () => Promise<void>;
  close(): Promise<void>;
}

/** Opens a database with two organizations. */
export async function openNeighbours(): Promise<Neighbours> {
  const fleet = await openFleet();
  const neighbour = await openFleet(fleet.database);
  const check = await openRunCheck(fleet.database);
  return {
    fleet,
    neighbour,
    check,
    sweep: sweeperOf(fleet.database),
    async close() {
      await check.close();
      await fleet.close();
    },
  };
}
