import { type DestinationStream, destination, type Logger, pino } from "pino";

/**
 * Creates the log of the process: JSON lines on the standard output.
 *
 * Whoever reads them may end before us; then nothing more is written, and all else goes on. pino itself keeps
 * nothing: of what is still to be written when the reader is gone, it tries to get rid for ever.
 *
 * @param level "info" is used for one that is none: the configuration refuses it, and has to say so
 */
export function createLog(level: string): Logger {
  // Others write there as well, and an error that nobody listens to would end the process.
  process.stdout.on("error", () => {});
  const isLevel = level === "silent" || Object.hasOwn(pino.levels.values, level);
  return pino({ level: isLevel ? level : "info" }, perTurn(destination({ dest: 1, sync: true })));
}

/**
 * Writes the lines of one turn of the event loop together, at its end: under load there are many, and each write is a
 * call into the kernel. What ends the process is written at once.
 */
function perTurn(log: DestinationStream): DestinationStream & { flushSync(): void } {
  let lines = "";
  const flushSync = (): void => {
    if (lines !== "") {
      const text = lines;
      lines = "";
      log.write(text);
    }
  };
  process.on("exit", flushSync);
  return {
    write(line) {
      if (lines === "") {
        setImmediate(flushSync);
      }
      lines += line;
    },
    flushSync,
  };
}
