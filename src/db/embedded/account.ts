import { execFile, type SpawnOptions } from "node:child_process";
import { chown, readFile, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { EmbeddedPostgresError } from "./error.ts";

/**
 * The operating system account that PostgreSQL runs under when the service runs as root, which
 * PostgreSQL refuses to.
 */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** The capability that lets the account through directories which only root may enter, if it needs one. */
  readonly capability?: Capability;
}

type Capability = "dac_read_search" | "dac_override";

/**
 * Returns the account to run PostgreSQL under, or undefined for the service's own.
 *
 * @param clusterDir the directory of the database cluster; it may not exist yet. Its owner, if it does,
 * is the account, so that data made by an ordinary user can be served by root
 * @param dirs the directories that the account must be able to enter
 * @throws EmbeddedPostgresError if there is no way to let it
 */
export async function chooseAccount(
  clusterDir: string,
  dirs: readonly string[],
): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const account = (await ownerOf(clusterDir)) ?? (await systemAccount());
  for (const dir of dirs) {
    const obstacle = await firstObstacle(account, dir);
    if (obstacle !== undefined) return { ...account, capability: await grantableCapability(obstacle) };
  }
  return account;
}

async function ownerOf(path: string): Promise<Account | undefined> {
  const owner = await stat(path).catch(() => undefined);
  return owner === undefined || owner.uid === 0 ? undefined : { uid: owner.uid, gid: owner.gid };
}

/** initdb asks for the account's name, so it has to be one that exists. */
async function systemAccount(): Promise<Account> {
  const accounts = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"));
  const [, , uid, gid] =
    accounts.find(([name]) => name === "postgres") ?? accounts.find(([name]) => name === "nobody") ?? [];
  if (uid === undefined || gid === undefined) {
    throw new EmbeddedPostgresError(
      "PostgreSQL refuses to run as root and there is neither an account `postgres` nor `nobody`: " +
        "run the service as an ordinary user, or set DATABASE_URL",
    );
  }
  return { uid: Number(uid), gid: Number(gid) };
}

/** Returns the directory which keeps the account from entering this one: itself, or one above it. */
async function firstObstacle(account: Account, dir: string): Promise<string | undefined> {
  for (let at = await realpath(dir); ; at = dirname(at)) {
    const { uid, gid, mode } = await stat(at);
    const search = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & search) === 0) return at;
    if (at === dirname(at)) return undefined;
  }
}

/**
 * Picks the weaker of two capabilities that root has here: reading and searching everything, and, where
 * containers withhold that one, writing too.
 */
async function grantableCapability(obstacle: string): Promise<Capability> {
  const status = await readFile("/proc/self/status", "utf8").catch(() => "");
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  if (held & (1n << 2n)) return "dac_read_search";
  if (held & (1n << 1n)) return "dac_override";
  throw new EmbeddedPostgresError(
    `PostgreSQL refuses to run as root, and other accounts may not enter ${obstacle}: ${reachAdvice}`,
  );
}

const reachAdvice =
  "run the service as an ordinary user, set TASKLEDGER_DATA_DIR to (and install into) a directory that " +
  "others may enter, or set DATABASE_URL";

/**
 * Returns how to start a program under an account, for spawn or execFile.
 *
 * With a capability this goes through setpriv of util-linux, which replaces itself by the program.
 * no_setuid_fixup belongs to it: without it access(2), which PostgreSQL asks about its own programs,
 * answers as if the capability were not there.
 */
export function asAccount(
  account: Account | undefined,
  program: string,
  args: readonly string[],
): { file: string; args: string[]; options: Pick<SpawnOptions, "uid" | "gid" | "env"> } {
  // Nothing of the service's environment, such as PGDATA or a locale, changes what PostgreSQL does.
  const { PATH = "/usr/bin:/bin", SYSTEMROOT, TEMP } = process.env;
  const env = {
    PATH,
    LC_ALL: "C",
    TZ: "UTC",
    ...(SYSTEMROOT ? { SYSTEMROOT } : {}),
    ...(TEMP ? { TEMP } : {}),
  };
  if (account === undefined) return { file: program, args: [...args], options: { env } };
  const { uid, gid, capability } = account;
  if (capability === undefined) return { file: program, args: [...args], options: { env, uid, gid } };
  const privileges = [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    "--clear-groups",
    `--inh-caps=+${capability}`,
    `--ambient-caps=+${capability}`,
    "--securebits=+no_setuid_fixup",
  ];
  return { file: "setpriv", args: [...privileges, "--", program, ...args], options: { env } };
}

/**
 * Runs a program to its end and returns what it wrote to its standard output.
 *
 * @throws EmbeddedPostgresError with what it wrote to its standard error, and the hint
 */
export function run(
  account: Account | undefined,
  program: string,
  args: readonly string[],
  { cwd = "/", hint }: { cwd?: string; hint?: string } = {},
): Promise<string> {
  const command = asAccount(account, program, args);
  return new Promise((done, fail) => {
    execFile(command.file, command.args, { ...command.options, cwd }, (error, stdout, stderr) => {
      if (error === null) return done(stdout);
      const advice = command.file === "setpriv" ? `setpriv could not start it: ${reachAdvice}` : hint;
      const said = stderr.trim() || error.message;
      fail(
        new EmbeddedPostgresError(`${program} failed: ${said}${advice ? ` (${advice})` : ""}`, {
          cause: error,
        }),
      );
    });
  });
}

/** Gives a file or directory to the account. */
export async function giveTo(account: Account | undefined, path: string): Promise<void> {
  if (account !== undefined) await chown(path, account.uid, account.gid);
}
