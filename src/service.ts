import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { createApp, createDispatch } from "./app.ts";
import { createAuthenticate } from "./auth/authenticate.ts";
import { keepKey } from "./client/bootstrap-key.ts";
import type { Config } from "./config.ts";
import { startEmbeddedPostgres } from "./db/embedded.ts";
import { migrate } from "./db/migrations.ts";
import { createIdMaker } from "./db/new-id.ts";
import { openOrm } from "./db/orm.ts";
import { createProbe } from "./db/probe.ts";
import { checkDatabase } from "./db/role-check.ts";
import { Intercom } from "./dispatch/intercom.ts";
import { Sweeper } from "./dispatch/sweeper.ts";
import { bootstrap } from "./organization/bootstrap.ts";
import { createAdapter } from "./server/adapter.ts";
import { createListener } from "./server/listener.ts";
import { createReadiness } from "./server/readiness.ts";
import { Site } from "./server/site.ts";

/** A running service. */
export interface Service {
  readonly address: AddressInfo;
  /** The secret of the administrator's key, if this start created it. It is not kept. */
  readonly secret?: string | undefined;
  /** The console, for browsers. */
  readonly site: Site;
  /** Stops without failing a call, within the configured time. */
  drain(): Promise<void>;
}

/** How long load balancers take to notice that a server is not ready. On one's own machine there is none. */
const settleMs = 500;

/** Where the console is built to. */
const consoleDirectory = join(import.meta.dirname, "..", "console", "dist");

/** How long the last connections to the database may take to close when no call is in flight any more. */
const closeTimeoutMs = 2000;

/**
 * Starts the service: the database, if it is the embedded one, then its checks, then the listener.
 *
 * @throws Error if the database cannot be reached or is unsafe, or the port is taken; then nothing is left running
 */
export async function startService(config: Config, log: Logger): Promise<Service> {
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) {
      await closer();
    }
  };
  try {
    const url = config.databaseUrl ?? (await startOwnDatabase(config, closers));
    await checkDatabase(url);
    const orm = await openOrm(url, config.databaseLimits, log);
    // A connection that the network swallowed is never given back; nobody waits for it here.
    closers.push(() => Promise.race([orm.close(true), sleep(closeTimeoutMs, undefined, { ref: false })]));
    const now = () => new Date();
    const { secret } = await bootstrap({
      orm,
      now,
      newId: createIdMaker(),
      bootstrapKey: config.bootstrapKey,
    });
    if (secret !== undefined && config.databaseUrl === undefined) {
      await keepKey(config.dataDir, secret);
    }
    const { probe, close: closeProbe } = createProbe(url);
    closers.push(closeProbe);
    const readiness = createReadiness({ probe });
    closers.push(() => readiness.close());
    const authenticate = createAuthenticate({ orm, now, log, jwt: config.jwt });
    const closing = new AbortController();
    const onCall = {
      ready: (organizationId: string) => dispatch.waitingRoom.call(organizationId),
      change: (organizationId: string) => app.feeds.ring(organizationId),
    };
    const intercom = new Intercom(url, onCall, log);
    closers.push(() => intercom.close());
    const dispatch = createDispatch((ids) => intercom.tell("ready", ids), closing.signal);
    const tellOfChanges = (ids: readonly string[]) => intercom.tell("change", ids);
    const { limits, databaseLimits, corsOrigins, tls } = config;
    const app = createApp({
      orm,
      authenticate,
      log,
      readiness,
      dispatch,
      tellOfChanges,
      limits,
      databaseLimits,
    });
    const sweeper = new Sweeper({ orm, writePath: app.writePath, log });
    sweeper.start();
    closers.push(() => sweeper.close());
    const site = new Site(consoleDirectory);
    const adapter = createAdapter({ ...app, limits, logger: log, readiness, corsOrigins, site });
    const listener = createListener({ adapter, limits, readiness, tls });
    const address = await listener.listen(config.port, config.host);
    closers.push(() => listener.drain({ graceMs: config.drainSeconds * 1000, settleMs }));
    // Whoever waits for work is answered that there is none, and asks another server.
    closers.push(() => closing.abort());
    return { address, secret, site, drain: close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startOwnDatabase(
  { dataDir }: Config,
  closers: (() => Promise<void> | void)[],
): Promise<string> {
  const postgres = await startEmbeddedPostgres({ dataDir });
  closers.push(() => postgres.stop());
  await migrate(postgres.ownerUrl, decodeURIComponent(new URL(postgres.serviceUrl).username));
  return postgres.serviceUrl;
}
