import type { Writable } from "node:stream";
import { MikroORM } from "@mikro-orm/postgresql";
import { Client, type Pool, type PoolConfig } from "pg";
import type { Logger } from "pino";
import { ApiKey } from "../api-key/api-key.entity.ts";
import { LateResult } from "../dispatch/late-result.entity.ts";
import { Flow } from "../flow/flow.entity.ts";
import { FlowVersion } from "../flow/flow-version.entity.ts";
import { FlowExecution } from "../flow-execution/flow-execution.entity.ts";
import { ReExecution } from "../flow-execution/re-execution.entity.ts";
import { Organization } from "../organization/organization.entity.ts";
import { Event } from "../task-execution/event.entity.ts";
import { TaskExecution } from "../task-execution/task-execution.entity.ts";
import { TaskLease } from "../task-execution/task-lease.entity.ts";
import { TaskTag } from "../task-execution/task-tag.entity.ts";
import { Feed } from "../watch/feed.entity.ts";
import { OrganizationGuard } from "./organization.ts";
import { createPipeline } from "./pipeline.ts";

/** How the service uses its database. Times in milliseconds. */
export interface DatabaseLimits {
  /** How many connections the process holds at most. */
  readonly pool: number;
  /** How long a call waits for a connection before it is refused with RESOURCE_EXHAUSTED. */
  readonly acquireTimeoutMs: number;
  /** How long a statement may run. */
  readonly statementTimeoutMs: number;
  /** How long a statement waits for a lock. */
  readonly lockTimeoutMs: number;
  /** How long a transaction may do nothing: a defect or a dead process, never our habit. */
  readonly idleInTransactionTimeoutMs: number;
}

export const defaultDatabaseLimits: DatabaseLimits = {
  pool: 10,
  acquireTimeoutMs: 2000,
  statementTimeoutMs: 5000,
  lockTimeoutMs: 2000,
  idleInTransactionTimeoutMs: 5000,
};

/** Opens the database as the service's role. Connects at the first statement. */
export async function openOrm(url: string, limits: DatabaseLimits, log: Logger): Promise<MikroORM> {
  const driverOptions: PoolConfig & { pipeline: boolean; onPoolCreated(pool: Pool): void } = {
    pipeline: true,
    connectionTimeoutMillis: limits.acquireTimeoutMs,
    keepAlive: true,
    application_name: "taskledger",
    options: [
      `-c statement_timeout=${limits.statementTimeoutMs}`,
      `-c lock_timeout=${limits.lockTimeoutMs}`,
      `-c idle_in_transaction_session_timeout=${limits.idleInTransactionTimeoutMs}`,
    ].join(" "),
    onPoolCreated(pool) {
      discardUnusable(pool);
      watchConnections(pool);
    },
  };
  return MikroORM.init({
    clientUrl: url,
    entities: [
      Organization,
      ApiKey,
      Flow,
      FlowVersion,
      FlowExecution,
      ReExecution,
      TaskExecution,
      TaskTag,
      Event,
      TaskLease,
      LateResult,
      Feed,
    ],
    subscribers: [new OrganizationGuard()],
    pool: { min: 0, max: limits.pool },
    driverOptions,
    // Payloads never stand in a log: the ORM's own log of statements stays off.
    debug: false,
    logger: (message) => log.warn({ orm: message.slice(0, 256) }, "ORM"),
    colors: false,
    ensureDatabase: false,
    forceUtcTimezone: false,
  });
}

/** The SQLSTATE of a write to a database that only reads. */
const readOnly = "25006";

/** A connection of the pool, as far as we look at it past the pool. */
interface Lent {
  query(...args: unknown[]): unknown;
  readonly connection: { readonly stream: Writable };
  release(error: Error): void;
  getTransactionStatus?(): string | null;
  /** Whether the database said that it only reads. */
  isReadOnly?: boolean;
  /** Whether a borrower has used it or given it back. */
  isTaken?: boolean;
}

/**
 * Ends a connection that comes back to the pool within a transaction, or that leads to a database that only reads.
 *
 * The first happens when a rollback fails. The next borrower would work inside the other's transaction and
 * with the other's organization. The second is a server that was the one to write to before a failover.
 */
function discardUnusable(pool: Pool): void {
  pool.on("release", (_error, client) => {
    const { getTransactionStatus, isReadOnly } = client as unknown as Lent;
    if (getTransactionStatus?.call(client) !== "I" || isReadOnly) {
      // Ending it here, before the pool looks, makes the pool drop it.
      (client as unknown as { end(): Promise<void> }).end().catch(() => {});
    }
  });
}

/**
 * Sends statements by {@link createPipeline}, gives a connection back to the pool whose rollback fails, to be dropped,
 * and notes which only read; gives back also what is connected when the pool is already closing.
 *
 * Kysely gives back the connection of a transaction only after a rollback that succeeded. On a connection that is
 * lost none does, so that each loss would cost the pool a place for good. Nor does it give back a connection that was
 * being made when it was closed: it has forgotten the pool by then, and fails as it wants to look at it. A pool ends
 * only when it has all connections back, so that closing would never end.
 */
function watchConnections(pool: Pool): void {
  pool.on("release", (_error, client) => {
    (client as unknown as Lent).isTaken = true;
  });
  pool.on("connect", (client) => {
    const lent = client as unknown as Lent;
    lent.query = createPipeline((...args) => {
      lent.isTaken = true;
      const result = Client.prototype.query.apply(client, args as never) as unknown;
      if (result instanceof Promise) {
        result.catch((error: Error & { code?: string }) => {
          if (error.code === readOnly) lent.isReadOnly = true;
          if (args[0] === "rollback") lent.release(error);
        });
      }
      return result;
    }, lent.connection.stream);
    // By then whoever borrowed it has either sent a statement, or failed.
    setImmediate(() => {
      if (pool.ending && !lent.isTaken) lent.release(new Error("the pool is closing"));
    });
  });
}
