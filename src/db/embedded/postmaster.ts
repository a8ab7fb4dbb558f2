import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** What the first process of a server says about itself in `postmaster.pid`. */
export interface Postmaster {
  readonly pid: number;
  /** Its TCP port. NaN if it has not come that far. */
  readonly port: number;
  /** Whether it accepts connections. */
  readonly ready: boolean;
}

/** Returns what `postmaster.pid` of a cluster says, or undefined if there is none, or not a whole line of it. */
export async function readPostmaster(clusterDir: string): Promise<Postmaster | undefined> {
  const text = await readFile(join(clusterDir, "postmaster.pid"), "utf8").catch((error) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  // Pid, directory, start time, port, socket directory, address, shared memory, status.
  const [pid, , , port, , , , status] = text.split("\n");
  if (pid === undefined || !/^\d+$/.test(pid)) return undefined;
  return { pid: Number(pid), port: Number.parseInt(port ?? "", 10), ready: status?.trim() === "ready" };
}

/** Returns how many connections the server of a cluster was told to allow, as `postmaster.opts` says; 0 if it does not. */
export async function readConnections(clusterDir: string): Promise<number> {
  const text = await readFile(join(clusterDir, "postmaster.opts"), "utf8").catch(() => "");
  return Number(/max_connections=(\d+)/.exec(text)?.[1] ?? 0);
}

/**
 * Tells whether a process is the server of this cluster, and neither gone nor a stranger who was given the
 * same id later, as happens after a reboot and in every restarted container.
 */
export async function isPostmaster(pid: number, clusterDir: string): Promise<boolean> {
  // Windows tells command lines to administrators only.
  if (process.platform === "win32") return isAlive(pid);
  return (await commandLine(pid)).includes(clusterDir);
}

/** Returns the command line of a process. Empty if it ended, even if nobody took notice yet (a zombie). */
export async function commandLine(pid: number): Promise<string> {
  if (process.platform === "linux") return readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  const ps = promisify(execFile)("ps", ["-ww", "-o", "command=", "-p", String(pid)]);
  return ps.then(({ stdout }) => stdout).catch(() => "");
}

/** Tells whether there is a process with this id, whosever it is. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
