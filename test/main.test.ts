import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDatabase, type TestDatabase } from "./database.ts";
import { bootstrapKey } from "./service.ts";

// Whoever reads the log of the service is a process like any other, and may end before it.
describe("a service whose log nobody reads any more", () => {
  let database: TestDatabase;
  const started: ChildProcess[] = [];
  beforeAll(async () => {
    database = await openDatabase();
  });
  afterAll(async () => {
    for (const child of started) child.kill("SIGKILL");
    await database?.close();
  });

  /** Starts the program; what it writes leads nowhere from the beginning. */
  function start(env: Readonly<Record<string, string>>): ChildProcess {
    const program = fileURLToPath(new URL("../src/main.ts", import.meta.url));
    const child = spawn(process.execPath, [program], {
      env: { PATH: process.env["PATH"], DATABASE_URL: database.serviceUrl, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    child.stdout!.destroy();
    started.push(child);
    return child;
  }

  async function exitCodeOf(child: ChildProcess): Promise<unknown> {
    return (
      child.exitCode ??
      (await Promise.race([once(child, "exit").then(([code]) => code), sleep(15_000, "none")]))
    );
  }

  test("serves, and ends when it is told to", async () => {
    const port = await freePort();
    const child = start({ PORT: String(port), TASKLEDGER_BOOTSTRAP_KEY: bootstrapKey });
    const isServing = () =>
      fetch(`http://127.0.0.1:${port}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await expect.poll(isServing, { timeout: 15_000 }).toBe(true);
    child.kill("SIGTERM");
    expect(await exitCodeOf(child)).toBe(0);
  });

  test("ends when it cannot start", async () => {
    expect(await exitCodeOf(start({ PORT: "none" }))).toBe(1);
  });
});

test("a log level that is none is refused by its name", async () => {
  const program = fileURLToPath(new URL("../src/main.ts", import.meta.url));
  const child = spawn(process.execPath, [program], {
    env: { LOG_LEVEL: "loud" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = await child.stdout.toArray();
  expect(JSON.parse(Buffer.concat(lines).toString()).msg).toMatch(/LOG_LEVEL/);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}
