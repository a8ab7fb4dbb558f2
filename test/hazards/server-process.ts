import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { startServer } from "../server/server.ts";
import { heldMegabytes } from "./memory.ts";

/** A server in a process of its own, so that a hazard may end it or fill its memory. */
export interface ServerProcess {
  readonly port: number;
  readonly origin: string;
  readonly pid: number;
  /** Resident memory, in megabytes. */
  memory(): Promise<number>;
  /** What it holds, in megabytes, without garbage, and without the log that it keeps for tests. */
  held(): Promise<number>;
  /** Whether the process still is the one that was started. */
  isAlive(): boolean;
  stop(): Promise<void>;
}

/** Starts a server process. It holds the test methods that {@link serve} defines. */
export async function startServerProcess(): Promise<ServerProcess> {
  const child = fork(import.meta.filename, ["serve"], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const port = await ask(child, undefined);
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    memory: () => ask(child, "memory"),
    held: () => ask(child, "held"),
    isAlive: () => child.exitCode === null && child.signalCode === null,
    async stop() {
      const exited = once(child, "exit");
      child.kill();
      await exited;
    },
  };
}

async function ask(child: ChildProcess, question: string | undefined): Promise<number> {
  const answered = once(child, "message");
  if (question !== undefined) {
    child.send(question);
  }
  const [answer] = await answered;
  return Number(answer);
}

async function serve(): Promise<void> {
  const server = await startServer({
    tasks: { getTaskExecution: () => ({}), createTaskExecution: () => ({}), listTaskExecutions: () => ({}) },
  });
  process.on("message", (question) => {
    if (question === "held") {
      server.log.length = 0;
      process.send?.(heldMegabytes());
    } else {
      process.send?.(Math.round(process.memoryUsage.rss() / 2 ** 20));
    }
  });
  process.send?.(server.port);
}

if (process.argv[2] === "serve") {
  await serve();
}
