import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Figure } from "./figure.ts";
import { root } from "./root.ts";

const file = join(root, "bench", "results.md");

const heading = "## ";

/**
 * Puts the section of a figure into `bench/results.md`, in place of the one that is there. The others stay, each with
 * the commit that it was measured at, unless they are of another machine.
 */
export async function writeResults(
  figures: readonly Figure[],
  figure: Figure,
  section: string,
  machine: string,
): Promise<void> {
  const sections = new Map<string, string>();
  const old = await readFile(file, "utf8").catch(() => "");
  for (const part of old.includes(machine) ? old.split(/^(?=## )/m) : []) {
    if (part.startsWith(heading))
      sections.set(part.slice(heading.length, part.indexOf("\n")), part.trimEnd());
  }
  sections.set(figure.title, section.trimEnd());
  const known = figures.flatMap(({ title }) => sections.get(title) ?? []);
  await writeFile(file, `${[`${introduction}\n\n${machine}`, ...known].join("\n\n")}\n`);
}

const introduction = `# What was measured

\`npm run bench\` writes this file. All of it runs on one machine at once: whoever calls, whoever answers, and PostgreSQL.
Contenders run in turns, and a ratio is that of two runs of one round; the first round only warms up and does not count.
Calls are made by one process, with grpc-js over one connection. Every record has 200 bytes of input and 100 bytes of
output.`;
