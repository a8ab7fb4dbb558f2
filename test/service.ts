import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type Logger, pino } from "pino";
import { readConfig } from "../src/config.ts";
import { startService } from "../src/service.ts";

/** The secret of the administrator of the organization `default` in each test service. */
export const bootstrapKey = "tlk_test-service-0123456789abcdefghijklmnopqr";

/** A service on a free port of this machine, and how to call it as its administrator. */
export interface TestService {
  readonly port: number;
  readonly origin: string;
  /** gRPC, signed in. */
  readonly transport: Transport;
  client<Desc extends DescService>(service: Desc): Client<Desc>;
}

/** Signs requests in with a key, the administrator's unless said otherwise. */
export function signIn(key: string = bootstrapKey): Interceptor {
  return (next) => (req) => {
    req.header.set("authorization", `Bearer ${key}`);
    return next(req);
  };
}

/** Starts the real service in this process; it stops when it is disposed of. */
export async function startTestService(
  databaseUrl: string,
  env: Readonly<Record<string, string>> = {},
  log: Logger = pino({ level: "silent" }),
): Promise<TestService & AsyncDisposable> {
  const { address, drain } = await startService(readConfig(environmentOf(databaseUrl, env)), log);
  return { ...serviceAt(address.port), [Symbol.asyncDispose]: drain };
}

/** The service in a process of its own, to be stopped or killed. */
export interface ServiceProcess extends TestService, AsyncDisposable {
  readonly pid: number;
  isAlive(): boolean;
  /** Sends a signal and waits for the end; returns the exit code, null if the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** A line of the log of a service. */
export interface LogEntry {
  readonly msg: string;
  /** Which process wrote it. */
  readonly pid: number;
  readonly [field: string]: unknown;
}

/**
 * Starts the real service as a process and waits until it serves.
 *
 * @param databaseUrl empty to have it start its own, for which the environment names a directory
 * @param onLine is given everything that the service writes: entries of the log, and other lines as they are
 */
export async function startServiceProcess(
  databaseUrl: string,
  env: Readonly<Record<string, string>> = {},
  onLine: (line: LogEntry | string) => void = () => undefined,
): Promise<ServiceProcess> {
  const program = fileURLToPath(new URL("../src/main.ts", import.meta.url));
  const child = spawn(process.execPath, [program], {
    env: { PATH: process.env["PATH"], LOG_LEVEL: "info", ...environmentOf(databaseUrl, env) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const port = await portOf(child, onLine);
  const isAlive = () => child.exitCode === null && child.signalCode === null;
  const end = async (signal: NodeJS.Signals) => {
    if (isAlive()) {
      const exited = once(child, "exit");
      child.kill(signal);
      await exited;
    }
    return child.exitCode;
  };
  return {
    ...serviceAt(port),
    pid: child.pid ?? 0,
    isAlive,
    end,
    async [Symbol.asyncDispose]() {
      await end("SIGKILL");
    },
  };
}

function environmentOf(databaseUrl: string, env: Readonly<Record<string, string>>): Record<string, string> {
  return { PORT: "0", DATABASE_URL: databaseUrl, TASKLEDGER_BOOTSTRAP_KEY: bootstrapKey, ...env };
}

/** Returns a service that serves at a port, with a connection of its own. */
export function serviceAt(port: number): TestService {
  const origin = `http://127.0.0.1:${port}`;
  const transport = createGrpcTransport({ baseUrl: origin, interceptors: [signIn()] });
  return { port, origin, transport, client: (service) => createClient(service, transport) };
}

/** Reads the log until it says where the process serves; then drains it, so that it never blocks. */
async function portOf(child: ChildProcess, onLine: (line: LogEntry | string) => void): Promise<number> {
  const seen: string[] = [];
  const lines = createInterface({ input: child.stdout! });
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      const entry = line.startsWith("{") ? JSON.parse(line) : {};
      onLine("msg" in entry ? entry : line);
      if (entry.msg === "serving") {
        resolve(entry.port);
      } else {
        seen.push(line);
        seen.splice(0, seen.length - 20);
      }
    });
    child.once("exit", (code) => reject(new Error(`the service ended with ${code}: ${seen.join("\n")}`)));
  });
}
