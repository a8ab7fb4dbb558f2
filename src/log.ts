import { destination, type Logger, pino } from "pino";

/**
 * Creates the log of the process: JSON lines on the standard output.
 *
 * Whoever reads them may end before us; then nothing more is written, and all else goes on. Each line is written
 * at once: of what is still to be written when the reader is gone, pino tries to get rid for ever.
 *
 * @param level "info" is used for one that is none: the configuration refuses it, and has to say so
 */
export function createLog(level: string): Logger {
  // Others write there as well, and an error that nobody listens to would end the process.
  process.stdout.on("error", () => {});
  const isLevel = level === "silent" || Object.hasOwn(pino.levels.values, level);
  return pino({ level: isLevel ? level : "info" }, destination({ dest: 1, sync: true }));
}
