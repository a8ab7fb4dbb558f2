import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import type { Logger } from "pino";

const topics = ["ready", "change"] as const;
/** What processes tell each other of an organization: that it has something to claim, or that something has changed. */
export type Topic = (typeof topics)[number];

const channelPrefix = "taskledger_";

/** How many organizations one notification names: it holds 8000 bytes. */
const mostNamed = 200;

/** How long to wait before connecting again. */
const reconnectMs = 1000;

/**
 * Carries from process to process which organizations have something to claim, or have changed.
 *
 * It has a connection of its own, outside of the transactions that wrote: a notification within them would
 * make their commits wait for each other. It is a hint and may get lost, as on databases that have no
 * notifications: those who wait also look by themselves.
 */
export class Intercom {
  readonly #url: string;
  readonly #onCall: Readonly<Record<Topic, (organizationId: string) => void>>;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  readonly #untold: Readonly<Record<Topic, Set<string>>> = { ready: new Set(), change: new Set() };
  #isTelling = false;
  #client: Client | undefined;

  constructor(url: string, onCall: Readonly<Record<Topic, (organizationId: string) => void>>, log: Logger) {
    this.#url = url;
    this.#onCall = onCall;
    this.#log = log;
    this.#running = this.#run();
  }

  /**
   * Tells all other processes. Does nothing while there is no connection.
   *
   * What is to be told while a notification is under way goes with the next one.
   */
  tell(topic: Topic, organizationIds: readonly string[]): void {
    for (const id of organizationIds) this.#untold[topic].add(id);
    if (!this.#isTelling) void this.#tellAll();
  }

  async #tellAll(): Promise<void> {
    this.#isTelling = true;
    for (let topic = this.#nextTopic(); topic !== undefined; topic = this.#nextTopic()) {
      const untold = this.#untold[topic];
      const named = [...untold].slice(0, mostNamed);
      for (const id of named) untold.delete(id);
      const values = [channelPrefix + topic, named.join(",")];
      await this.#client?.query("select pg_notify($1, $2)", values).catch(() => {});
    }
    this.#isTelling = false;
  }

  #nextTopic(): Topic | undefined {
    return topics.find((topic) => this.#untold[topic].size > 0);
  }

  /** Hangs up. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#listen();
      } catch (error) {
        this.#log.warn({ err: (error as Error).message }, "cannot hear from other processes");
      }
      await sleep(reconnectMs, undefined, { ref: false, signal }).catch(() => {});
    }
  }

  /** Listens until the connection is lost, or this is closed. */
  async #listen(): Promise<void> {
    const client = new Client({
      connectionString: this.#url,
      application_name: "taskledger-intercom",
      connectionTimeoutMillis: 2000,
      keepAlive: true,
    });
    const { promise: lost, resolve: onLost } = Promise.withResolvers<void>();
    const onClosing = () => onLost();
    client.on("error", onClosing).on("end", onClosing);
    this.#closing.signal.addEventListener("abort", onClosing, { once: true });
    const self = client as unknown as { readonly processID: number };
    client.on("notification", ({ channel, payload, processId }) => {
      const topic = channel.slice(channelPrefix.length) as Topic;
      // Whoever told has told its own already.
      for (const organizationId of (processId !== self.processID && payload?.split(",")) || []) {
        this.#onCall[topic](organizationId);
      }
    });
    try {
      await client.connect();
      await client.query(`listen ${channelPrefix}ready`);
      await client.query(`listen ${channelPrefix}change`);
      this.#client = client;
      await lost;
    } finally {
      this.#client = undefined;
      // The signal lives as long as the process; whoever connects again and again leaves nothing behind.
      this.#closing.signal.removeEventListener("abort", onClosing);
      await client.end().catch(() => {});
    }
  }
}
