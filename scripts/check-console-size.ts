/** Fails if the scripts of the console that are loaded first are too large, and prints how large they are. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { root } from "./buf.ts";

/** What a page may load before it shows something, in kB of gzip. */
const mostKilobytes = 250;

/** What vite writes of each file that it made. */
interface Chunk {
  readonly file: string;
  readonly isEntry?: boolean;
  readonly imports?: readonly string[];
}

const dist = join(root, "console/dist");
const manifest: Record<string, Chunk> = JSON.parse(readFileSync(join(dist, "manifest.json"), "utf8"));

/** Adds a chunk, and what it imports before it runs. */
function collect(name: string, files: Set<string>): Set<string> {
  const chunk = manifest[name];
  if (chunk !== undefined && !files.has(chunk.file)) {
    files.add(chunk.file);
    chunk.imports?.forEach((each) => {
      collect(each, files);
    });
  }
  return files;
}

const files = new Set<string>();
for (const [name, { isEntry }] of Object.entries(manifest)) {
  if (isEntry) {
    collect(name, files);
  }
}
const bytes = [...files].map((file) => gzipSync(readFileSync(join(dist, file)), { level: 9 }).byteLength);
const kilobytes = bytes.reduce((sum, each) => sum + each, 0) / 1000;
process.stdout.write(
  `console: ${kilobytes.toFixed(1)} kB of script (gzip) at first, at most ${mostKilobytes}\n`,
);
process.exitCode = files.size > 0 && kilobytes <= mostKilobytes ? 0 : 1;
