import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { end, keep, keepDirectory, remove } from "./children.ts";
import { type DatabaseUrls, readDatabaseUrls } from "./database.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import { root } from "./root.ts";

/** A service in a process of its own, as `npm start` runs it, but for the console. */
export interface Service extends AsyncDisposable {
  readonly pid: number;
  readonly ledger: Ledger;
  /** How to reach its PostgreSQL. */
  readonly database: DatabaseUrls;
}

/**
 * Starts a service on a new, empty, embedded PostgreSQL, or beside another service on that one's.
 *
 * Its configuration is the default. Its log, one line for each call, goes to a file: whoever measures has nothing
 * to do with it, and the service writes it all the same.
 *
 * @param options.beside the service whose database it shares
 * @param options.env what is configured otherwise
 */
export async function startService(
  options: { readonly beside?: Service; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Service> {
  const { beside } = options;
  const dir = await mkdtemp(join(tmpdir(), "taskledger-bench-"));
  keepDirectory(dir);
  // Root's PostgreSQL runs under another account, which has to pass through.
  await chmod(dir, 0o711);
  const dataDir = join(dir, "data");
  const logFile = join(dir, "service.log");
  const key = beside?.ledger.key ?? randomBytes(24).toString("base64url");
  const log = await open(logFile, "w");
  const child = keep(
    spawn(process.execPath, await startArguments(), {
      cwd: root,
      env: {
        PATH: process.env["PATH"],
        PORT: "0",
        TASKLEDGER_DATA_DIR: dataDir,
        TASKLEDGER_BOOTSTRAP_KEY: key,
        ...(beside && { DATABASE_URL: beside.database.serviceUrl }),
        ...options.env,
      },
      stdio: ["ignore", log.fd, "inherit"],
    }),
  );
  await log.close();
  let serving: { readonly port: number } | undefined;
  while (serving === undefined) {
    await sleep(20);
    const text = await readFile(logFile, "utf8");
    if (child.exitCode !== null) throw new Error(`the service did not start:\n${text.slice(-2000)}`);
    const line = text.split("\n").find((each) => each.includes('"msg":"serving"'));
    serving = line === undefined ? undefined : JSON.parse(line);
  }
  const ledger = openLedger(serving.port, key);
  return {
    pid: child.pid!,
    ledger,
    database: beside?.database ?? (await readDatabaseUrls(dataDir)),
    async [Symbol.asyncDispose]() {
      await end(child);
      await remove(dir);
    },
  };
}

/** Returns the arguments that Node gets from `npm start`. */
async function startArguments(): Promise<string[]> {
  const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const [, ...args] = (scripts.start as string).split(" ");
  return args.filter((arg) => arg !== "--build-console");
}

/** Returns the flags of those arguments, for other servers that shall run as the service does. */
export async function startFlags(): Promise<string[]> {
  return (await startArguments()).filter((arg) => arg.startsWith("-"));
}
