import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { FlowExecutionService } from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { outcomeOf } from "../../client.ts";
import { bootstrapKey, type ServiceProcess, startServiceProcess } from "../../service.ts";
import { executor } from "./flows.ts";
import type { WorkerOptions } from "./worker-options.ts";

/** A process that is started again whenever it ended, and may be killed and paused meanwhile. */
export interface Member {
  readonly state: "up" | "paused" | "down";
  /** Kills it. It is up again when the promise is fulfilled. */
  kill(downMs: number): Promise<void>;
  /** Stops it in whatever it does, and lets it go on when something else is done. */
  pause(until: Promise<unknown>): Promise<void>;
  /** Ends it for good. */
  end(): Promise<void>;
}

interface Running {
  readonly pid: number;
  /** Kills it and waits for its end. */
  kill(): Promise<void>;
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Starts a process and keeps it up. */
async function startMember(start: () => Promise<Running>): Promise<Member> {
  let running = await start();
  let state: Member["state"] = "up";
  return {
    get state() {
      return state;
    },
    async kill(downMs) {
      state = "down";
      await running.kill();
      await sleep(downMs);
      running = await start();
      state = "up";
    },
    async pause(until) {
      state = "paused";
      process.kill(running.pid, "SIGSTOP");
      try {
        await until;
      } finally {
        process.kill(running.pid, "SIGCONT");
        state = "up";
      }
    },
    end: () => running.kill(),
  };
}

/** A server, which serves on the same port each time. */
export type Server = Member & {
  /** How to call it. */
  readonly service: ServiceProcess;
  readonly restarts: readonly Restart[];
};

/** How long a start after the first took, in milliseconds. */
interface Restart {
  /** From its beginning until the server said that it serves. */
  readonly startMs: number;
  /** From then on until a client that had known it before was answered. */
  readonly recoveryMs: number;
}

/** Starts a server. While its database is away it cannot start, and is started again until it can. */
export async function startServer(databaseUrl: string): Promise<Server> {
  const service = await startServiceProcess(databaseUrl);
  const runs = service.client(FlowExecutionService);
  const restarts: Restart[] = [];
  let current: ServiceProcess | undefined = service;
  const start = async (): Promise<Running> => {
    const begin = performance.now();
    const isAgain = current === undefined;
    while (current === undefined) {
      current = await startServiceProcess(databaseUrl, { PORT: String(service.port) }).catch(() => undefined);
      if (current === undefined) await sleep(100);
    }
    if (isAgain) {
      const serving = performance.now();
      while ((await outcomeOf(runs.listFlowExecutions({ pageSize: 1 }, { timeoutMs: 1000 }))) !== "ok")
        await sleep(10);
      restarts.push({ startMs: serving - begin, recoveryMs: performance.now() - serving });
    }
    const { pid, end } = current;
    return {
      pid,
      async kill() {
        current = undefined;
        await end("SIGKILL");
      },
    };
  };
  return Object.assign(await startMember(start), { service, restarts });
}

/** How a worker is made: by hand over a client, or with the library of workers. */
export type WorkerKind = "worker" | "library-worker";

/** Starts a worker. Each start is another worker to the servers, with a history of its own. */
export function startWorker(
  base: Omit<WorkerOptions, "key" | "executor" | "name">,
  index: number,
  kind: WorkerKind = "worker",
): Promise<Member> {
  let starts = 0;
  return startMember(async () => {
    const name = `worker-${index}-${starts++}`;
    const seed = base.seed + starts * 1000;
    const options: WorkerOptions = { ...base, name, executor, key: bootstrapKey, seed };
    const program = fileURLToPath(new URL(`${kind}.ts`, import.meta.url));
    const child = spawn(process.execPath, [program, JSON.stringify(options)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    return { pid: child.pid!, kill: () => kill(child) };
  });
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) {
    throw new Error(`a worker ended by itself with ${child.exitCode ?? child.signalCode}`);
  }
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
