/**
 * Builds the console into `console/dist`, if it is missing or was built from other sources.
 *
 * Installs the packages of the console first when they are missing or old. May run in several processes at
 * once: one does the work, the others wait for it.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root } from "./buf.ts";

const consoleDirectory = join(root, "console");
const dist = join(consoleDirectory, "dist");
const lock = join(consoleDirectory, ".building");
const madeFrom = ".made-from";

/** What the built console depends on. */
const sources = ["src", "index.html", "vite.config.ts", "package.json", "package-lock.json", "../gen"];

/** Returns a hash of the names and the bytes of files, and of all files in directories. */
function hashOf(paths: readonly string[]): string {
  const hash = createHash("sha256");
  for (const path of paths.map((each) => join(consoleDirectory, each))) {
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

function isMadeFrom(directory: string, hash: string): boolean {
  const mark = join(directory, madeFrom);
  return existsSync(mark) && readFileSync(mark, "utf8") === hash;
}

function run(args: readonly string[], cwd: string): void {
  const { status, error } = spawnSync(process.execPath, args, { cwd, stdio: "inherit" });
  if (error !== undefined || status !== 0) {
    throw new Error(`${args.join(" ")} failed: ${error?.message ?? `exit code ${status}`}`);
  }
}

function install(): void {
  const modules = join(consoleDirectory, "node_modules");
  const hash = hashOf(["package-lock.json"]);
  if (isMadeFrom(modules, hash)) {
    return;
  }
  // Set by npm for its scripts; the npm in the PATH might run with another Node.
  const npm = process.env["npm_execpath"];
  if (npm?.endsWith(".js")) {
    run([npm, "ci", "--prefix", consoleDirectory], consoleDirectory);
  } else if (
    spawnSync("npm", ["ci", "--prefix", consoleDirectory], {
      stdio: "inherit",
      shell: process.platform === "win32",
    }).status !== 0
  ) {
    throw new Error("npm ci --prefix console failed");
  }
  writeFileSync(join(modules, madeFrom), hash);
}

function build(hash: string): void {
  const fresh = join(consoleDirectory, ".new-dist");
  run(
    [join(consoleDirectory, "node_modules/vite/bin/vite.js"), "build", "--outDir", fresh, "--emptyOutDir"],
    consoleDirectory,
  );
  writeFileSync(join(fresh, madeFrom), hash);
  // A server that reads meanwhile finds the old one, the new one, or none for a moment; never half of one.
  rmSync(dist, { recursive: true, force: true });
  renameSync(fresh, dist);
}

/** Takes the lock; waits while another living process holds it. */
async function acquire(): Promise<Disposable> {
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      return { [Symbol.dispose]: () => rmSync(lock, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
        throw error;
      }
    }
    await sleep(200);
    if (!isHeld()) {
      rmSync(lock, { force: true });
    }
  }
}

function isHeld(): boolean {
  try {
    // Still empty, it reads as 0: our own group, which is alive.
    process.kill(Number(readFileSync(lock, "utf8")), 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

using _ = await acquire();
const hash = hashOf(sources);
if (!isMadeFrom(dist, hash)) {
  try {
    install();
    build(hash);
  } catch (error) {
    // What went wrong has been said by whoever failed.
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
