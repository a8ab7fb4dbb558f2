/**
 * Fails if `gen/` is not what buf generates from proto/ now.
 *
 * Generates into a directory of its own and compares the bytes: the checkout is not touched and its
 * git state does not matter.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buf, root } from "./buf.ts";
import { differingFiles, temporaryDirectory } from "./directories.ts";

using workspace = temporaryDirectory(join(tmpdir(), "taskledger-generated-"));

if (buf(["generate", "--output", workspace.path])) {
  const differing = differingFiles(join(workspace.path, "gen"), join(root, "gen"));
  if (differing.length > 0) {
    const list = differing.map((file) => `  gen/${file}\n`).join("");
    process.stderr.write(`These files are not what buf generates; run \`npm run generate\`:\n${list}`);
    process.exitCode = 1;
  }
} else {
  process.exitCode = 1;
}
