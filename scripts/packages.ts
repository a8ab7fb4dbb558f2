import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { root } from "./buf.ts";

const madeFrom = ".made-from";

/** Returns a hash of the names and the bytes of files, and of all files in directories. */
export function hashOf(paths: readonly string[]): string {
  const hash = createHash("sha256");
  for (const path of paths) {
    const files = statSync(path).isDirectory()
      ? readdirSync(path, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name))
          .sort()
      : [path];
    for (const file of files) {
      hash.update(`${relative(root, file).split(sep).join("/")}\0`).update(readFileSync(file));
    }
  }
  return hash.digest("hex");
}

/** Notes what a directory was made from. */
export function markMadeFrom(directory: string, hash: string): void {
  writeFileSync(join(directory, madeFrom), hash);
}

/** Tells whether a directory is there and was made from this. */
export function isMadeFrom(directory: string, hash: string): boolean {
  const mark = join(directory, madeFrom);
  return existsSync(mark) && readFileSync(mark, "utf8") === hash;
}

/** Runs a script with this Node, its output going where ours goes. */
export function run(args: readonly string[], cwd: string): void {
  const { status, error } = spawnSync(process.execPath, args, { cwd, stdio: "inherit" });
  if (error !== undefined || status !== 0) {
    throw new Error(`${args.join(" ")} failed: ${error?.message ?? `exit code ${status}`}`);
  }
}

/** Installs what the lockfile of a package says, unless that is done. */
export function installPackages(directory: string): void {
  const modules = join(directory, "node_modules");
  const hash = hashOf([join(directory, "package-lock.json")]);
  if (isMadeFrom(modules, hash)) {
    return;
  }
  // Set by npm for its scripts; the npm in the PATH might run with another Node.
  const npm = process.env["npm_execpath"];
  if (npm?.endsWith(".js")) {
    run([npm, "ci", "--prefix", directory], directory);
  } else if (
    spawnSync("npm", ["ci", "--prefix", directory], { stdio: "inherit", shell: process.platform === "win32" })
      .status !== 0
  ) {
    throw new Error(`npm ci --prefix ${relative(root, directory)} failed`);
  }
  markMadeFrom(modules, hash);
}
