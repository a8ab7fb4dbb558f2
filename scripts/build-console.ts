/**
 * Builds the console into `console/dist`, if it is missing or was built from other sources.
 *
 * Installs the packages of the console first when they are missing or old. May run in several processes at
 * once: one does the work, the others wait for it.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root } from "./buf.ts";
import { hashOf, installPackages, isMadeFrom, markMadeFrom, run } from "./packages.ts";

const consoleDirectory = join(root, "console");
const dist = join(consoleDirectory, "dist");
const lock = join(consoleDirectory, ".building");

/** What the built console depends on. */
const sources = ["src", "index.html", "vite.config.ts", "package.json", "package-lock.json", "../gen"];

function build(hash: string): void {
  const fresh = join(consoleDirectory, ".new-dist");
  run(
    [join(consoleDirectory, "node_modules/vite/bin/vite.js"), "build", "--outDir", fresh, "--emptyOutDir"],
    consoleDirectory,
  );
  markMadeFrom(fresh, hash);
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
const hash = hashOf(sources.map((each) => join(consoleDirectory, each)));
if (!isMadeFrom(dist, hash)) {
  try {
    installPackages(consoleDirectory);
    build(hash);
  } catch (error) {
    // What went wrong has been said by whoever failed.
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
