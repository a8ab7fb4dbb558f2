import { ConfigError, readConfig } from "./config.ts";
import { buildConsole } from "./console-build.ts";
import { UnsafeDatabaseError } from "./db/role-check.ts";
import { createLog } from "./log.ts";
import { startService } from "./service.ts";
import { welcome } from "./welcome.ts";

const log = createLog(process.env["LOG_LEVEL"] || "info");

try {
  const config = readConfig(process.env);
  const service = await startService(config, log);
  log.info({ address: service.address.address, port: service.address.port }, "serving");
  process.stdout.write(welcome(config, service));
  if (process.argv.includes("--build-console")) {
    buildConsole(service.site, log);
  }

  let draining = false;
  const stop = (signal: NodeJS.Signals) => {
    if (draining) {
      log.warn({ signal }, "stopping at once");
      process.exit(1);
    }
    draining = true;
    log.info({ signal }, "draining");
    // Whatever hangs, we are gone in time.
    setTimeout(() => process.exit(1), (config.drainSeconds + 3) * 1000).unref();
    service.drain().then(
      () => process.exit(0),
      (error) => {
        log.fatal({ err: error }, "could not drain");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
  // A defect: whatever state we are in is not to be trusted, but calls in flight may still end well.
  process.on("uncaughtException", (error) => {
    log.fatal({ err: error }, "uncaught exception");
    process.exitCode = 1;
    service.drain().finally(() => process.exit(1));
  });
} catch (error) {
  // What the operator can mend needs no stack.
  const mendable = error instanceof ConfigError || error instanceof UnsafeDatabaseError;
  log.fatal(mendable ? {} : { err: error }, (error as Error).message);
  process.exit(1);
}
