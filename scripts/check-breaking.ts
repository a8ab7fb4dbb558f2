/**
 * Fails if proto/ breaks those who use the API as the main branch has it.
 *
 * `buf breaking --against .git#branch=main` would not find the third-party imports, which git does
 * not have: so the old proto/ is taken out of git and put beside the `.proto-deps/` and the buf.yaml
 * of this checkout.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buf, root } from "./buf.ts";
import { temporaryDirectory } from "./directories.ts";

/**
 * Returns the commit to compare with: main, or else its remote, or else the commit before this one.
 *
 * Nothing can break against itself, so the commit that is checked out counts only while proto/ has
 * changes on top of it. That is what makes the check mean something on main itself.
 */
function findBase(): string | undefined {
  const head = commitOf("HEAD");
  const isClean = git("status", "--porcelain", "--", "proto").stdout.length === 0;
  return ["refs/heads/main", "refs/remotes/origin/main", "HEAD^"]
    .map(commitOf)
    .find((commit) => commit !== undefined && (commit !== head || !isClean));
}

/** Returns the id of a commit, or undefined if there is none of that name, as in a shallow clone. */
function commitOf(revision: string): string | undefined {
  const { status, stdout } = git("rev-parse", "--verify", "--quiet", `${revision}^{commit}`);
  return status === 0 ? stdout.toString().trim() : undefined;
}

/** Runs git; 1 is its way of saying no, anything above is a failure and must not pass for a no. */
function git(...args: string[]): { status: number; stdout: Buffer } {
  const { status, stdout, error } = spawnSync("git", args, {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (error !== undefined || status === null || status > 1) {
    throw error ?? new Error(`git ${args.join(" ")} ended with ${status}`);
  }
  return { status, stdout };
}

/** Lays out proto/ as it was in a commit, in a form which buf reads without this checkout. */
function checkOut(commit: string, directory: string): void {
  const { stdout } = git("archive", "--format=tar", commit, "proto");
  const { status, error } = spawnSync("tar", ["-x", "-C", directory], { input: stdout });
  if (status !== 0) {
    throw error ?? new Error(`tar ended with ${status}`);
  }
  for (const name of ["buf.yaml", ".proto-deps"]) {
    cpSync(join(root, name), join(directory, name), { recursive: true });
  }
}

const base = existsSync(join(root, ".git")) ? findBase() : undefined;

if (base === undefined || git("ls-tree", "--name-only", base, "proto").stdout.length === 0) {
  process.stdout.write("buf breaking: no earlier proto/ to compare with\n");
} else {
  using workspace = temporaryDirectory(join(tmpdir(), "taskledger-breaking-"));
  checkOut(base, workspace.path);
  if (buf(["breaking", "--against", workspace.path])) {
    process.stdout.write(`buf breaking: nothing breaks against ${base.slice(0, 12)}\n`);
  } else {
    process.exitCode = 1;
  }
}
