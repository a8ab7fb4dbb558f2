import { randomBytes } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { type Account, giveTo, run } from "./account.ts";
import { type Binaries, majorVersion } from "./binaries.ts";
import { EmbeddedPostgresError } from "./error.ts";

/** The passwords of the three roles, as random text that needs no escaping in a URL or in SQL. */
export interface Credentials {
  readonly superuser: string;
  readonly owner: string;
  readonly service: string;
}

/** Where the database cluster of a data directory is, PostgreSQL's own data directory. */
export function clusterDirOf(dataDir: string): string {
  return join(dataDir, "cluster");
}

/**
 * Makes the database cluster unless it is there, and returns the passwords of its roles.
 *
 * A new one appears under its name in one step and complete, so that a process that is killed while it
 * makes one leaves nothing but rubbish, which the next start removes. The caller holds the service lock.
 *
 * @throws EmbeddedPostgresError if the cluster is of another major version, or damaged
 */
export async function ensureCluster(
  dataDir: string,
  binaries: Binaries,
  account: Account | undefined,
  { fsync }: { readonly fsync: boolean },
): Promise<Credentials> {
  for (const name of await readdir(dataDir)) {
    if (name.startsWith(unfinished)) await rm(join(dataDir, name), { recursive: true, force: true });
  }
  const clusterDir = clusterDirOf(dataDir);
  const [ours, theirs] = await Promise.all([majorVersion(binaries, account), clusterVersion(clusterDir)]);
  if (theirs === undefined) return createCluster(dataDir, binaries, account, { fsync });
  if (theirs === ours) return readCredentials(clusterDir);
  throw new EmbeddedPostgresError(
    `${clusterDir} was made by PostgreSQL ${theirs}, and this Taskledger brings PostgreSQL ${ours}: start the ` +
      "Taskledger that made it and take its data over with pg_dump, or choose another TASKLEDGER_DATA_DIR",
  );
}

const unfinished = "unfinished-";
const credentialsFile = "credentials.json";

async function clusterVersion(clusterDir: string): Promise<number | undefined> {
  try {
    return Number(await readFile(join(clusterDir, "PG_VERSION"), "utf8"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && (await readdir(clusterDir).catch(() => undefined)) === undefined)
      return undefined;
    throw damaged(clusterDir, "PG_VERSION", error);
  }
}

async function readCredentials(clusterDir: string): Promise<Credentials> {
  try {
    return JSON.parse(await readFile(join(clusterDir, credentialsFile), "utf8"));
  } catch (error) {
    throw damaged(clusterDir, credentialsFile, error);
  }
}

function damaged(clusterDir: string, file: string, cause: unknown): EmbeddedPostgresError {
  const denied = (cause as NodeJS.ErrnoException).code === "EACCES";
  return new EmbeddedPostgresError(
    denied
      ? `${clusterDir} belongs to another user: start the service as that user (or as root), ` +
          "or choose another TASKLEDGER_DATA_DIR"
      : `${join(clusterDir, file)} is missing or damaged: restore ${clusterDir} from a backup, ` +
          "or move it away to start with an empty database",
    { cause },
  );
}

async function createCluster(
  dataDir: string,
  binaries: Binaries,
  account: Account | undefined,
  { fsync }: { readonly fsync: boolean },
): Promise<Credentials> {
  const workDir = await mkdtemp(join(dataDir, unfinished));
  const newDir = join(workDir, "cluster");
  const passwordFile = join(workDir, "password");
  const credentials = { superuser: newPassword(), owner: newPassword(), service: newPassword() };
  try {
    await writeFile(passwordFile, credentials.superuser, { mode: 0o600 });
    await giveTo(account, passwordFile);
    await mkdir(newDir, { mode: 0o700 });
    await giveTo(account, newDir);
    await giveTo(account, workDir);
    await initdb(binaries, account, [
      `--pgdata=${newDir}`,
      "--username=postgres",
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      // Nothing of the host decides how text sorts, so that a moved data directory keeps valid indexes.
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--no-instructions",
      ...(fsync ? [] : ["--no-sync"]),
    ]);
    const newCredentialsFile = join(newDir, credentialsFile);
    await writeFile(newCredentialsFile, JSON.stringify(credentials), { mode: 0o600, flush: fsync });
    await giveTo(account, newCredentialsFile);
    await rename(newDir, clusterDirOf(dataDir));
    return credentials;
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

function newPassword(): string {
  return randomBytes(24).toString("base64url");
}

/**
 * Runs initdb. It calls the server through the shell and quotes the path of it with double quotes only,
 * so where that is not enough it runs as a copy under a path without such characters.
 */
async function initdb(
  binaries: Binaries,
  account: Account | undefined,
  args: readonly string[],
): Promise<void> {
  if (process.platform === "win32" || !/["$`\\]/.test(binaries.initdb)) {
    await run(account, binaries.initdb, args);
    return;
  }
  const copy = await mkdtemp(join(tmpdir(), "taskledger-initdb-"));
  try {
    await giveTo(account, copy);
    await cp(dirname(dirname(binaries.initdb)), copy, { recursive: true, verbatimSymlinks: true });
    await run(account, join(copy, "bin", basename(binaries.initdb)), args);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}
