import type { Logger } from "pino";

/** How a process ends, how long its calls may take meanwhile, in seconds, and where it says so. */
export interface EndOptions {
  readonly drain: () => Promise<void>;
  readonly drainSeconds: number;
  readonly log: Logger;
}

/** How long what comes after the calls may take, in seconds. */
const closeSeconds = 3;

/**
 * Has the process end well when it is told to: on SIGTERM and SIGINT, and after a defect. A second signal ends it at
 * once.
 *
 * @returns what makes the process end, too: with this exit code, or 1 if it cannot drain
 */
export function endWhenTold({ drain, drainSeconds, log }: EndOptions): (why: object, code: number) => void {
  let draining = false;
  const end = (why: object, code: number): void => {
    if (draining) return;
    draining = true;
    log.info(why, "draining");
    // Whatever hangs, we are gone in time.
    setTimeout(() => process.exit(1), (drainSeconds + closeSeconds) * 1000).unref();
    drain().then(
      () => process.exit(code),
      (error) => {
        log.fatal({ err: error }, "could not drain");
        process.exit(1);
      },
    );
  };
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    // Not the first one that comes while we drain: of Ctrl-C every process gets its own.
    if (signals++ > 0) {
      log.warn({ signal }, "stopping at once");
      process.exit(1);
    }
    end({ signal }, 0);
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  // A defect: whatever state we are in is not to be trusted, but calls in flight may still end well.
  process.on("uncaughtException", (error) => {
    log.fatal({ err: error }, "uncaught exception");
    if (draining) process.exit(1);
    end({}, 1);
  });
  return end;
}
