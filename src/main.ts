import cluster from "node:cluster";
import { type Config, ConfigError, readConfig } from "./config.ts";
import { buildConsole } from "./console-build.ts";
import { UnsafeDatabaseError } from "./db/role-check.ts";
import { endWhenTold } from "./end.ts";
import { createLog } from "./log.ts";
import { welcome } from "./welcome.ts";

const log = createLog(process.env["LOG_LEVEL"] || "info");

/** Starts the service: in this process, or in several that this one looks after. Only what is needed is loaded. */
async function start(config: Config) {
  if (config.workers > 1) {
    const { startProcesses } = await import("./processes/first-process.ts");
    return startProcesses(config, log);
  }
  const { startService } = await import("./service.ts");
  return { ...(await startService(config, log)), failed: undefined };
}

try {
  const config = readConfig(process.env);
  if (config.workers > 1 && cluster.isWorker) {
    const { serveForFirst } = await import("./processes/serving-process.ts");
    await serveForFirst(config, log);
  } else {
    const service = await start(config);
    const { address, port } = service.address;
    log.info({ address, port, ...(config.workers > 1 && { workers: config.workers }) }, "serving");
    process.stdout.write(welcome(config, service));
    if (process.argv.includes("--build-console")) {
      buildConsole(service.site, log);
    }
    const end = endWhenTold({ drain: service.drain, drainSeconds: config.drainSeconds, log });
    service.failed?.then((reason) => {
      log.fatal(reason);
      end({}, 1);
    });
  }
} catch (error) {
  // What the operator can mend needs no stack.
  const mendable = error instanceof ConfigError || error instanceof UnsafeDatabaseError;
  log.fatal(mendable ? {} : { err: error }, (error as Error).message);
  process.exit(1);
}
