import { type FieldViolation, LedgerError } from "../errors.ts";
import { cut } from "../server/text.ts";
import { checkDefinition } from "./check-definition.ts";
import type { Definition } from "./definition.ts";
import type { Problem } from "./definition-problems.ts";

/**
 * How many bytes all violations of one error may have. In gRPC they travel as a header in base64, and clients
 * in C++ and Python refuse responses with more than 8 KiB of headers.
 */
const mostViolationBytes = 4000;

/**
 * Parses a flow definition that is to be stored.
 *
 * @throws LedgerError DEFINITION_INVALID with what is wrong, each with line and column: the first problems, as
 * many as fit into an error. ValidateFlow gives all.
 */
export async function requireDefinition(organizationId: string, text: string): Promise<Definition> {
  const { definition, problems } = await checkDefinition(organizationId, text);
  if (definition !== undefined) {
    return definition;
  }
  const descriptions = problems.map(describe);
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems; first`;
  throw new LedgerError("DEFINITION_INVALID", `definition: ${count}, ${cut(descriptions[0] ?? "", 400)}`, {
    violations: toViolations(descriptions),
  });
}

function toViolations(descriptions: readonly string[]): FieldViolation[] {
  const field = "definition";
  const violations: FieldViolation[] = [];
  let bytes = 0;
  for (const [index, description] of descriptions.entries()) {
    bytes += Buffer.byteLength(description) + field.length + 8;
    if (bytes > mostViolationBytes) {
      const left = descriptions.length - index;
      violations.push({ field, description: `and ${left} more; ValidateFlow lists them` });
      break;
    }
    violations.push({ field, description });
  }
  return violations;
}

function describe({ line, column, path, message }: Problem): string {
  return `line ${line}, column ${column}: ${path && `${path}: `}${message}`;
}
