import { Presets, SingleBar } from "cli-progress";

/** Creates the progress bar of a command that counts tasks. Where there is no terminal it shows nothing. */
export function createProgressBar(): SingleBar {
  return new SingleBar({ format: "{bar} {value}/{total} tasks", noTTYOutput: false }, Presets.shades_classic);
}
