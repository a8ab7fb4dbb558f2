import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

// How long the service takes from its start until it serves, with data that are there, and how much memory it
// holds when nobody calls. PostgreSQL is not counted. Linux only: it reads /proc.
const mostStartMs = 3000;
const mostMegabytes = 150;

const root = join(import.meta.dirname, "../..");
const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
const flags = (scripts.start as string).split(" ").slice(1);
const dataDir = await mkdtemp(join(tmpdir(), "taskledger-idle-"));

async function start(idleMs: number): Promise<{ startMs: number; megabytes: number }> {
  const begin = performance.now();
  const env = { ...process.env, PORT: "0", TASKLEDGER_DATA_DIR: join(dataDir, "data") };
  const child = spawn(process.execPath, flags, { cwd: root, env, stdio: ["ignore", "pipe", "inherit"] });
  for await (const chunk of child.stdout) {
    if (String(chunk).includes('"msg":"serving"')) break;
  }
  const startMs = performance.now() - begin;
  await sleep(idleMs);
  const status = await readFile(`/proc/${child.pid}/status`, "utf8");
  child.kill("SIGTERM");
  await once(child, "exit");
  return { startMs, megabytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024 };
}

try {
  await start(0);
  const { startMs, megabytes } = await start(5000);
  process.stdout.write(`start to serving: ${startMs.toFixed(0)} ms, at most ${mostStartMs}\n`);
  process.stdout.write(`idle memory: ${megabytes.toFixed(0)} MB, less than ${mostMegabytes}\n`);
  process.exitCode = startMs <= mostStartMs && megabytes < mostMegabytes ? 0 : 1;
} finally {
  await rm(dataDir, { recursive: true, force: true });
}
