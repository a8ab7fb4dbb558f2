import { Client } from "pg";
import { FlowExecutionService } from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { leaseLimits } from "../../../src/dispatch/lease-limits.ts";
import { outcomeOf } from "../../client.ts";
import type { Server } from "./fleet.ts";
import type { Outages } from "./outages.ts";

/** What an observer saw. */
export interface Observed {
  /** How often it looked. */
  readonly looks: number;
  /** How long a lease was over at most before its attempt was ended, while the servers could have ended it. */
  readonly mostOverdueMs: number;
  /** How long they could not have, in all. */
  readonly outageMs: number;
  /** What must never be: running tasks without a lease, or with another's. */
  readonly faults: readonly string[];
}

/** The longest that a lease may be over: the grace period, the longest pause between two sweeps, and a second. */
export const mostOverdueMs = leaseLimits.graceMs + 1.25 * leaseLimits.sweepMs + 1000;

/** How often it looks. */
const pollMs = 200;

/** How long a server may take for a call that is nothing, before it counts as too busy to do anything in time. */
const mostAnswerMs = 500;

/**
 * Watches the leases in the database from outside until it is stopped: that every running task has the one that
 * its record names, and that none is over for long.
 */
export function startObserver(
  url: string,
  servers: readonly Server[],
  outages: Outages,
): { stop(): Promise<Observed> } {
  const begin = Date.now();
  let isStopped = false;
  const seen = { looks: 0, mostOverdueMs: 0, outageMs: 0, faults: [] as string[] };
  const look = async (client: Client) => {
    const { rows } = await client.query<{ id: string; fault: string | null; over: Date | null }>(`
      select t.id, l.expire_time as over, case
        when l.token is null then 'runs without a lease'
        when l.token <> t.lease_token then 'runs under the lease of another claim'
      end as fault
      from task_execution as t
      left join task_lease as l on (l.organization_id, l.task_execution_id) = (t.organization_id, t.id)
      where t.status = 'running' and t.executor is not null
      union all
      select l.task_execution_id, null, 'holds a lease and does not run'
      from task_lease as l
      join task_execution as t on (l.organization_id, l.task_execution_id) = (t.organization_id, t.id)
      where t.status <> 'running'
    `);
    const now = Date.now();
    seen.looks++;
    for (const { id, fault, over } of rows) {
      if (fault !== null) seen.faults.push(`${id} ${fault}`);
      if (over !== null && over.getTime() < now) {
        const overdue = now - over.getTime() - outages.within(over.getTime(), now);
        seen.mostOverdueMs = Math.max(seen.mostOverdueMs, overdue);
      }
    }
  };
  const run = async () => {
    while (!isStopped) {
      const client = new Client({ connectionString: url, connectionTimeoutMillis: 1000 });
      client.on("error", () => undefined);
      try {
        await client.connect();
        while (!isStopped) {
          await look(client);
          await new Promise((resolve) => setTimeout(resolve, pollMs));
        }
      } catch {
        // PostgreSQL is being restarted.
        await new Promise((resolve) => setTimeout(resolve, pollMs));
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  };
  const ping = async ({ state, service }: Server) => {
    const begin = Date.now();
    const runs = service.client(FlowExecutionService);
    // One that is down says so at once, and counts only if all are.
    if (state === "up") await outcomeOf(runs.listFlowExecutions({ pageSize: 1 }, { timeoutMs: 5000 }));
    if (Date.now() - begin > mostAnswerMs) outages.note(begin, Date.now());
  };
  const pingAll = async () => {
    while (!isStopped) {
      await Promise.all(servers.map(ping));
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  };
  const running = Promise.all([run(), pingAll()]);
  return {
    async stop() {
      isStopped = true;
      await running;
      seen.outageMs = outages.within(begin, Date.now());
      return seen;
    },
  };
}
