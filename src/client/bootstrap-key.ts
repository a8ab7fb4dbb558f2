import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Where the service keeps what is its own on this machine, unless TASKLEDGER_DATA_DIR says otherwise. */
export const defaultDataDir = join(import.meta.dirname, "..", "..", ".taskledger");

/** Keeps the first key beside the embedded database, readable by its owner only, for commands on the same machine. */
export async function keepKey(dataDir: string, secret: string): Promise<void> {
  await mkdir(dataDir, { recursive: true });
  await writeFile(keyFileIn(dataDir), `${secret}\n`, { mode: 0o600 });
}

/**
 * Returns the secret of the API key that a command signs in with: the one given, else TASKLEDGER_KEY, else the one
 * that the service made on this machine.
 *
 * @throws Error if there is none
 */
export function findKey(given?: string): string {
  const { TASKLEDGER_DATA_DIR, TASKLEDGER_KEY } = process.env;
  const file = keyFileIn(TASKLEDGER_DATA_DIR || defaultDataDir);
  const key = given ?? (TASKLEDGER_KEY || (existsSync(file) ? readFileSync(file, "utf8").trim() : ""));
  if (key === "") {
    throw new Error("no API key: give --key or TASKLEDGER_KEY, or start the service on this machine");
  }
  return key;
}

/** Returns where the first key is kept. */
export function keyFileIn(dataDir: string): string {
  return join(dataDir, "bootstrap-key");
}
