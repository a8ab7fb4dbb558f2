/**
 * Runs the hazards one after the other, each as a process of its own, prints what they find, and ends with an
 * error if one of them does.
 *
 * Usage: npm run test:hazards [-- name ...]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { check, print } from "./report.ts";

/** Files of this folder that are no hazards: this one, and what the hazards are made with. */
const helpers = ["run", "report", "ledger", "server-process", "memory", "heap-reporter", "claim-all"];

const all = (await readdir(import.meta.dirname))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => basename(file, ".ts"))
  .filter((name) => !helpers.includes(name))
  .sort();
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  throw new Error(`no hazard is named ${unknown.join(", ")}; there are ${all.join(", ")}`);
}

const findings: [name: string, holds: boolean, seconds: number][] = [];
for (const name of wanted.length > 0 ? wanted : all) {
  print(`\n== ${name}`);
  const start = performance.now();
  const child = spawn(process.execPath, [join(import.meta.dirname, `${name}.ts`)], { stdio: "inherit" });
  const [code] = await once(child, "exit");
  findings.push([name, code === 0, (performance.now() - start) / 1000]);
}
print("\n== summary");
for (const [name, holds, seconds] of findings) {
  check(holds, `${name}, ${seconds.toFixed(0)} s`);
}
