import { parseDefinition } from "../../src/flow/definition.ts";

/** Returns the problems of a definition, each as `line:column path code`. */
export function problemsOf(text: string): string[] {
  return parseDefinition(text).problems.map(
    ({ line, column, path, code }) => `${line}:${column} ${path || "-"} ${code}`,
  );
}
