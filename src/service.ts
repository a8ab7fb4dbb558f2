import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { MikroORM } from "@mikro-orm/postgresql";
import type { Logger } from "pino";
import { createApp, createDispatch } from "./app.ts";
import { createAuthenticate } from "./auth/authenticate.ts";
import type { Config } from "./config.ts";
import { createProbe } from "./db/probe.ts";
import { Intercom } from "./dispatch/intercom.ts";
import { Sweeper } from "./dispatch/sweeper.ts";
import { openConnections, prepareDatabase, prepareFirstKey } from "./prepare.ts";
import { createAdapter } from "./server/adapter.ts";
import { createListener } from "./server/listener.ts";
import { createReadiness } from "./server/readiness.ts";
import { Site } from "./server/site.ts";

/** What is served, and where. */
interface Served {
  readonly address: AddressInfo;
  /** The console, for browsers. */
  readonly site: Pick<Site, "show" | "showNotice">;
}

/** A running service, or a process of one. */
export interface Service extends Served {
  /** The secret of the administrator's key, if this start created it. It is not kept. */
  readonly secret?: string | undefined;
  /** Stops without failing a call, within the configured time. */
  drain(): Promise<void>;
}

/** How long load balancers take to notice that a server is not ready. On one's own machine there is none. */
const settleMs = 500;

/** Where the console is built to. */
const consoleDirectory = join(import.meta.dirname, "..", "console", "dist");

/**
 * Starts the service in this process: the database, if it is the embedded one, then its checks, then the listener.
 *
 * @throws Error if the database cannot be reached or is unsafe, or the port is taken; then nothing is left running
 */
export async function startService(config: Config, log: Logger): Promise<Service> {
  await using opened = new AsyncDisposableStack();
  const url = await prepareDatabase(config, opened);
  const orm = await openConnections(url, config, log, opened);
  const secret = await prepareFirstKey(orm, config);
  const served = await serve({ url, orm, config, log }, opened);
  return { ...served, secret, drain: drainOf(opened) };
}

/**
 * Starts to serve in this process from a database that was prepared by another one.
 *
 * @throws Error if the port is taken; then nothing is left running
 */
export async function startServing(url: string, config: Config, log: Logger): Promise<Service> {
  await using opened = new AsyncDisposableStack();
  const orm = await openConnections(url, config, log, opened);
  const served = await serve({ url, orm, config, log }, opened);
  return { ...served, drain: drainOf(opened) };
}

/** Takes over what has been opened, and returns what closes it, last things first. */
function drainOf(opened: AsyncDisposableStack): () => Promise<void> {
  const running = opened.move();
  return () => running.disposeAsync();
}

/** Builds all that answers calls, and listens. */
async function serve(
  { url, orm, config, log }: { url: string; orm: MikroORM; config: Config; log: Logger },
  opened: AsyncDisposableStack,
): Promise<Served> {
  const now = () => new Date();
  const { probe, close: closeProbe } = createProbe(url);
  opened.defer(closeProbe);
  const readiness = createReadiness({ probe });
  opened.defer(() => readiness.close());
  const authenticate = createAuthenticate({ orm, now, log, jwt: config.jwt });
  const closing = new AbortController();
  const onCall = {
    ready: (organizationId: string) => dispatch.waitingRoom.call(organizationId),
    change: (organizationId: string) => app.feeds.ring(organizationId),
  };
  const intercom = new Intercom(url, onCall, log);
  opened.defer(() => intercom.close());
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
  opened.defer(() => sweeper.close());
  const site = new Site(consoleDirectory);
  const adapter = createAdapter({ ...app, limits, logger: log, readiness, corsOrigins, site });
  const listener = createListener({ adapter, limits, readiness, tls });
  // What only the start needed is given back: a third of all memory, which V8 by itself would keep.
  globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  const address = await listener.listen(config.port, config.host);
  opened.defer(() => listener.drain({ graceMs: config.drainSeconds * 1000, settleMs }));
  // Whoever waits for work is answered that there is none, and asks another server.
  opened.defer(() => closing.abort());
  return { address, site };
}
