import { LedgerError } from "../errors.ts";
import { type Definition, parseDefinition } from "./definition.ts";
import type { Problem } from "./definition-problems.ts";

/**
 * Parses a flow definition that is to be stored.
 *
 * @throws LedgerError DEFINITION_INVALID with everything that is wrong, each with line and column
 */
export function requireDefinition(text: string): Definition {
  const { definition, problems } = parseDefinition(text);
  if (definition !== undefined) {
    return definition;
  }
  const descriptions = problems.map(describe);
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems; first`;
  throw new LedgerError("DEFINITION_INVALID", `definition: ${count}, ${descriptions[0]}`, {
    violations: descriptions.map((description) => ({ field: "definition", description })),
  });
}

function describe({ line, column, path, message }: Problem): string {
  return `line ${line}, column ${column}: ${path && `${path}: `}${message}`;
}
