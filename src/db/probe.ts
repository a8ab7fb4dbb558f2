import { Client } from "pg";

/**
 * Returns a probe of the database for readiness, over a connection of its own, so that it is not held up by a
 * pool that is used up.
 *
 * The probe succeeds when the database answers as one that takes writes.
 */
export function createProbe(url: string): {
  probe: (signal: AbortSignal) => Promise<void>;
  close(): Promise<void>;
} {
  let client: Client | undefined;

  async function drop(): Promise<void> {
    const old = client;
    client = undefined;
    await old?.end().catch(() => {});
  }

  async function connect(): Promise<Client> {
    const fresh = new Client({
      connectionString: url,
      application_name: "taskledger-probe",
      connectionTimeoutMillis: 2000,
    });
    fresh.on("error", () => void drop());
    client = fresh;
    await fresh.connect();
    return fresh;
  }

  return {
    async probe(signal) {
      const onAbort = () => void drop();
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        const { rows } = await (client ?? (await connect())).query<{ standby: boolean }>(
          "select pg_is_in_recovery() as standby",
        );
        if (rows[0]?.standby !== false) {
          throw new Error("the database takes no writes");
        }
      } catch (error) {
        await drop();
        throw error;
      } finally {
        // The signal of a probe that succeeded in time aborts, too, when its time is over.
        signal.removeEventListener("abort", onAbort);
      }
    },
    close: drop,
  };
}
