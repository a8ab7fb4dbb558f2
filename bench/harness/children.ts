import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";

const children = new Set<ChildProcess>();
const directories = new Set<string>();

/** Notes a process that was started, so that it ends with us. */
export function keep<Child extends ChildProcess>(child: Child): Child {
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

/** Notes a directory that was made, so that it does not outlive us. */
export function keepDirectory(path: string): void {
  directories.add(path);
}

/** Asks a process to end, and waits until it has. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}

/** Removes a directory that was noted. */
export async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  directories.delete(path);
}

/** Ends all that was started and still runs, and removes what it has left. */
export async function endAll(): Promise<void> {
  await Promise.all([...children].map(end));
  await Promise.all([...directories].map(remove));
}
