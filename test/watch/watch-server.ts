import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { MikroORM } from "@mikro-orm/postgresql";
import { pino } from "pino";
import { createApp, createDispatch } from "../../src/app.ts";
import type { Authenticate } from "../../src/auth/authentication-interceptor.ts";
import { defaultIngestLimits, type IngestLimits } from "../../src/ingest/ingest-limits.ts";
import type { IngestRoom } from "../../src/ingest/ingest-room.ts";
import { createAdapter } from "../../src/server/adapter.ts";
import { defaultLimits, type Limits } from "../../src/server/limits.ts";
import { createListener } from "../../src/server/listener.ts";
import { createReadiness } from "../../src/server/readiness.ts";
import type { Feeds } from "../../src/watch/feeds.ts";
import { defaultWatchLimits, type WatchLimits } from "../../src/watch/watch-limits.ts";
import { signIn } from "../service.ts";

/** The real application on a free port of this machine, and what it tells those who watch from. */
export interface WatchServer extends AsyncDisposable {
  readonly port: number;
  readonly origin: string;
  readonly feeds: Feeds;
  readonly ingestRoom: IngestRoom;
  readonly transport: Transport;
  client<Desc extends DescService>(service: Desc): Client<Desc>;
  /** Stops as a service does. */
  drain(): Promise<void>;
}

/** What a test may change of the application. */
export interface WatchServerOptions {
  readonly authenticate: Authenticate;
  readonly watchLimits?: Partial<WatchLimits>;
  readonly ingestLimits?: Partial<IngestLimits>;
  readonly limits?: Partial<Limits>;
  readonly now?: () => Date;
}

/** Starts a server. It hears of what others have written by looking, not by being told. */
export async function startWatchServer(orm: MikroORM, options: WatchServerOptions): Promise<WatchServer> {
  const limits = { ...defaultLimits, ...options.limits };
  const log = pino({ level: "silent" });
  const readiness = createReadiness({ probe: () => Promise.resolve() });
  const closing = new AbortController();
  const app = createApp({
    orm,
    dispatch: createDispatch(undefined, closing.signal),
    authenticate: options.authenticate,
    log,
    readiness,
    limits,
    watchLimits: { ...defaultWatchLimits, ...options.watchLimits },
    ingestLimits: { ...defaultIngestLimits, ...options.ingestLimits },
    ...(options.now && { now: options.now }),
  });
  const adapter = createAdapter({ ...app, limits, logger: log, readiness, corsOrigins: [] });
  const listener = createListener({ adapter, limits, readiness });
  const { port } = await listener.listen(0, "127.0.0.1");
  const origin = `http://127.0.0.1:${port}`;
  const transport = createGrpcTransport({ baseUrl: origin, interceptors: [signIn("test")] });
  return {
    port,
    origin,
    feeds: app.feeds,
    ingestRoom: app.ingestRoom,
    transport,
    client: (service) => createClient(service, transport),
    drain() {
      closing.abort();
      return listener.drain({ graceMs: 5000, settleMs: 0 });
    },
    async [Symbol.asyncDispose]() {
      readiness.close();
      await listener.close();
    },
  };
}
