import type { Logger } from "pino";
import type { Config } from "../config.ts";
import { openConnections, prepareDatabase, prepareFirstKey } from "../prepare.ts";
import type { Service } from "../service.ts";
import { ServingProcesses } from "./serving-processes.ts";

/** A service of several processes, as the first one sees it, which serves nothing itself. */
export interface ServiceOfProcesses extends Service {
  /** Settles with the reason when the processes cannot be kept running. */
  readonly failed: Promise<Error>;
}

/**
 * Starts the service in several processes: this one prepares the database and keeps it, the others serve.
 *
 * @throws Error as startService does; then nothing is left running
 */
export async function startProcesses(config: Config, log: Logger): Promise<ServiceOfProcesses> {
  await using opened = new AsyncDisposableStack();
  const url = await prepareDatabase(config, opened);
  const secret = await makeFirstKey(url, config, log);
  const processes = new ServingProcesses({
    count: config.workers,
    port: config.port,
    // The key is in the database now.
    env: { DATABASE_URL: url, TASKLEDGER_BOOTSTRAP_KEY: "" },
    log,
  });
  const address = await processes.start();
  opened.defer(() => processes.drain());
  const running = opened.move();
  return {
    address,
    secret,
    site: processes,
    failed: processes.failed,
    drain: () => running.disposeAsync(),
  };
}

async function makeFirstKey(url: string, config: Config, log: Logger): Promise<string | undefined> {
  await using opened = new AsyncDisposableStack();
  return await prepareFirstKey(await openConnections(url, config, log, opened), config);
}
