import { spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";

/** The root of the checkout. */
export const root = join(import.meta.dirname, "..");

const binaries = join(root, "node_modules", ".bin");

/**
 * Runs buf, its output going where ours goes, and returns whether it succeeded.
 *
 * The binaries of the npm packages come first in its PATH: that is where buf finds protoc-gen-es,
 * also when the script was not started by npm.
 */
export function buf(args: readonly string[], cwd = root): boolean {
  const env = { ...process.env, PATH: `${binaries}${delimiter}${process.env["PATH"] ?? ""}` };
  const { status, error } = spawnSync(join(binaries, "buf"), args, { cwd, env, stdio: "inherit" });
  if (error !== undefined) {
    throw error;
  }
  return status === 0;
}
