import { connect, type Socket } from "node:net";
import { Client } from "pg";
import { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import { commandLine } from "../../src/db/embedded/postmaster.ts";
import { outcomeOf } from "../client.ts";
import type { TestDatabase } from "../database.ts";
import { type LogEntry, type ServiceProcess, serviceAt, startServiceProcess } from "../service.ts";

/** A service of several processes, and what it has said. */
export interface Fleet extends ServiceProcess {
  readonly entries: readonly LogEntry[];
  /** What it wrote that is no log. */
  readonly text: readonly string[];
  /** The process ids of those that have begun to serve, in order, and of those whose end was noticed. */
  readonly begun: readonly number[];
  readonly ended: readonly number[];
  /** Which processes answered calls since some entry of the log. */
  answeredSince(entry: number): number[];
}

/** Starts a service of two processes. */
export async function startFleet(
  databaseUrl: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Fleet> {
  const entries: LogEntry[] = [];
  const text: string[] = [];
  const onLine = (line: LogEntry | string) =>
    void (typeof line === "string" ? text.push(line) : entries.push(line));
  const service = await startServiceProcess(databaseUrl, { WORKERS: "2", ...env }, onLine);
  const processesOf = (msg: string) =>
    entries.filter((entry) => entry.msg === msg).map((entry) => Number(entry["process"]));
  return {
    ...service,
    entries,
    text,
    get begun() {
      return processesOf("a process serves");
    },
    get ended() {
      return processesOf("a process has ended");
    },
    answeredSince: (entry) =>
      entries
        .slice(entry)
        .filter(({ msg }) => msg === "call")
        .map(({ pid }) => pid),
  };
}

/** Returns which of some processes still run. Nobody need have taken notice of the end of the others. */
export async function stillRunning(pids: readonly number[]): Promise<number[]> {
  const lines = await Promise.all(pids.map(commandLine));
  return pids.filter((_, index) => lines[index] !== "");
}

/** Whether somebody listens at a port of this machine. */
export async function isTaken(port: number): Promise<boolean> {
  const socket = await open(port).catch(() => undefined);
  socket?.destroy();
  return socket !== undefined;
}

/** Opens a connection and says nothing. */
export function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(socket)).on("error", reject);
  });
}

/** How long tests wait for what happens at once: a busy machine may take its time. */
export const patience = { timeout: 10_000 };

/** Makes several of something. */
export function several<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

/** Calls on a connection of its own, and returns how that ended. */
export function callAt(port: number): Promise<string> {
  return outcomeOf(serviceAt(port).client(OrganizationService).getOrganization({}));
}

/** Holds the lock of a run, so that calls that change it stay in flight until it is disposed of. */
export async function holdRun(database: TestDatabase, id: string): Promise<AsyncDisposable> {
  const client = new Client({ connectionString: database.superuserUrl });
  await client.connect();
  await client.query("begin");
  await client.query("select from flow_execution where id = $1 for update", [id]);
  return { [Symbol.asyncDispose]: () => client.end() };
}
