import { cp, mkdir, readdir, readFile, readlink, stat, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { locateBinaries, repairPackage } from "../../../src/db/embedded/binaries.ts";
import { newDir } from "./fixture.ts";

const packageDir = dirname(dirname(dirname((await locateBinaries()).postgres)));

it("makes the links that npm leaves out and lets everybody run the programs, however many do so at once", async () => {
  const copy = await newDir();
  const links = join(packageDir, "native", "pg-symlinks.json");
  await mkdir(join(copy, "native", "lib"), { recursive: true });
  await mkdir(join(copy, "native", "bin"));
  await cp(links, join(copy, "native", "pg-symlinks.json"));
  for (const name of ["initdb", "postgres", "pg_ctl"]) {
    await writeFile(join(copy, "native", "bin", name), "", { mode: 0o600 });
  }
  await Promise.all([1, 2, 3, 4].map(() => repairPackage(copy)));
  await repairPackage(copy);

  const expected: { source: string; target: string }[] = JSON.parse(await readFile(links, "utf8"));
  expect(expected.length).toBeGreaterThan(0);
  for (const { source, target } of expected) {
    expect(await readlink(join(copy, target))).toBe(source.slice("native/lib/".length));
  }
  expect(await readdir(join(copy, "native", "lib"))).toHaveLength(expected.length);
  expect((await stat(join(copy, "native", "bin", "postgres"))).mode & 0o777).toBe(0o755);
});

it("leaves a file alone that is in the place of a link", async () => {
  const copy = await newDir();
  await cp(join(packageDir, "native"), join(copy, "native"), { recursive: true, verbatimSymlinks: true });
  const path = join(copy, "native", "lib", "libpq.so.5");
  await unlink(path);
  await writeFile(path, "a file");
  await repairPackage(copy);
  expect(await readFile(path, "utf8")).toBe("a file");
});
