import { spawnSync } from "node:child_process";
import type { Check, Figure, Findings, Measure } from "./figure.ts";
import { root } from "./root.ts";
import { median } from "./statistics.ts";

/** The commit that is checked out, and whether something in it was changed since: not by the results of this run. */
const commit = describeCommit();

/** Writes what came of a figure as a section of Markdown. Says too whether it is all that is required. */
export function toMarkdown(
  figure: Figure,
  { measures, checks, notes, duration }: Findings,
): { readonly text: string; readonly met: boolean } {
  const text = [
    `## ${figure.title}`,
    "",
    table(["measured", "median", "least", "most"], measures.map(measureRow)),
    "",
    table(["required", "median", "least", "most", "bound", "met"], checks.map(checkRow)),
    "",
    ...notes.map((note) => `- ${note}`),
    "",
    `Measured ${new Date().toISOString().slice(0, 10)} at commit ${commit} with \`npm run bench -- ${figure.name}\`: ${duration}.`,
    "",
  ].join("\n");
  return { text, met: checks.every(isMet) };
}

function measureRow({ name, values }: Measure): string[] {
  return [name, ...[median(values), Math.min(...values), Math.max(...values)].map(show)];
}

function checkRow(check: Check): string[] {
  const { least, most } = check;
  const bound = least === undefined ? `at most ${show(most!)}` : `at least ${show(least)}`;
  return [...measureRow(check), bound, isMet(check) ? "yes" : "**no**"];
}

function isMet({
  values,
  least = Number.NEGATIVE_INFINITY,
  most = Number.POSITIVE_INFINITY,
}: Check): boolean {
  const value = median(values);
  return value >= least && value <= most;
}

function show(value: number): string {
  return Math.abs(value) < 100 ? value.toFixed(2) : Math.round(value).toLocaleString("en-US");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? "---" : "---:"))), ...rows.map(line)].join(
    "\n",
  );
}

function describeCommit(): string {
  const { stdout } = spawnSync("git", ["describe", "--always", "--dirty", "--exclude", "*"], {
    cwd: root,
    encoding: "utf8",
  });
  return stdout?.trim() || "unknown";
}
