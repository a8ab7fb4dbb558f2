import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";

/** Makes a new directory whose name begins with the prefix; `using` removes it at the end of the block. */
export function temporaryDirectory(prefix: string): { readonly path: string } & Disposable {
  const path = mkdtempSync(prefix);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Lists the files that are in only one of two directories, or in both with other bytes. */
export function differingFiles(left: string, right: string): string[] {
  const files = new Set([...filesIn(left), ...filesIn(right)]);
  return [...files].filter((file) => !isSameFile(join(left, file), join(right, file))).sort();
}

function filesIn(directory: string): string[] {
  if (!existsSync(directory)) {
    return [];
  }
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
}

function isSameFile(left: string, right: string): boolean {
  return existsSync(left) && existsSync(right) && readFileSync(left).equals(readFileSync(right));
}
