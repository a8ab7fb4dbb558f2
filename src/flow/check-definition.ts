import { type ParsedDefinition, parseDefinition } from "./definition.ts";
import { checkSchema } from "./input-schema.ts";

/** Parses a definition like {@link parseDefinition}, and also checks that its input_schema is a JSON Schema. */
export async function checkDefinition(organizationId: string, text: string): Promise<ParsedDefinition> {
  const parsed = parseDefinition(text);
  if (parsed.definition === undefined || parsed.definition.inputSchema === undefined) {
    return parsed;
  }
  const fault = await checkSchema(organizationId, parsed.definition.inputSchema);
  if (fault === undefined) {
    return parsed;
  }
  const { line, column } = parsed.schemaPosition ?? { line: 1, column: 1 };
  return {
    problems: [
      { path: "input_schema", line, column, code: "bad_schema", message: `is no JSON Schema: ${fault}` },
    ],
  };
}
