/**
 * Keeps three thousand leases with ninety thousand heartbeats, without a vacuum: nearly all of them stay on the
 * page where the lease is, and the table stays small.
 *
 * Usage: node test/hazards/heartbeat-bloat.ts
 */
import {
  HeartbeatTaskExecutionsResponse_State as State,
  WorkerService,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import { startServiceProcess } from "../service.ts";
import { claimAll } from "./claim-all.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const leases = 3000;
const beatsPerLease = 30;
/** The most that one call may carry. */
const beatsPerCall = 1000;
const leastHot = 0.95;
const mostBytes = 2 * 2 ** 20;

await using database = await startScriptDatabase();
await database.query("alter table task_lease set (autovacuum_enabled = off)");
await using service = await startServiceProcess(database.serviceUrl);
const workers = service.client(WorkerService);
const { held } = await claimAll(service, "bloat", leases);

const begin = performance.now();
let kept = 0;
for (let round = 0; round < beatsPerLease; round++) {
  for (let start = 0; start < held.length; start += beatsPerCall) {
    const heartbeats = held.slice(start, start + beatsPerCall).map(({ id, token }) => ({
      id,
      token,
      progress: { fraction: round / beatsPerLease, message: `round ${round}` },
    }));
    const { results } = await workers.heartbeatTaskExecutions({ heartbeats });
    kept += results.filter(({ state }) => state === State.HELD).length;
  }
}
const took = performance.now() - begin;
print(`${((kept / took) * 1000).toFixed(0)} heartbeats a second, ${beatsPerCall} in a call`);
check(kept === leases * beatsPerLease, `${kept} of ${leases * beatsPerLease} heartbeats kept their leases`);

/** The statistics of a table arrive a little later. */
async function figures() {
  const [found] = await database.query<{ updates: number; hot: number; bytes: number }>(`
    select n_tup_upd::int as updates, n_tup_hot_upd::int as hot, pg_relation_size(relid)::int as bytes
    from pg_stat_user_tables
    where relname = 'task_lease'
  `);
  return found!;
}
while ((await figures()).updates < kept) await new Promise((resolve) => setTimeout(resolve, 100));
const { updates, hot, bytes } = await figures();
check(hot / updates >= leastHot, `${((100 * hot) / updates).toFixed(1)} % of ${updates} updates are HOT`);
check(bytes <= mostBytes, `the table has ${(bytes / 2 ** 20).toFixed(2)} MB of at most 2`);
