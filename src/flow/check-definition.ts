import { CheckThread } from "./check-thread.ts";
import { type ParsedDefinition, parseDefinition } from "./definition.ts";
import type { ProblemCode } from "./definition-problems.ts";
import { checkSchema } from "./input-schema.ts";

/** Up to how many UTF-16 units a text is parsed at once: the worst of this size takes some ten milliseconds. */
const mostAtOnce = 4096;

/** How long one text may take. A flow of 10,000 tasks takes a quarter of a second, and some on a busy machine. */
const mostMs = 10_000;

const parses = new CheckThread<string, ParsedDefinition>({
  program: new URL("./definition-thread.ts", import.meta.url),
  mostMs,
  memory: { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 },
  tooCostly: fault(
    "too_costly",
    "",
    `takes longer than ${mostMs} ms to read, or too much memory; simplify it`,
  ),
});

/**
 * Parses a definition like {@link parseDefinition}, and also checks that its input_schema is a JSON Schema.
 *
 * Never holds up others for long, whatever the text is.
 */
export async function checkDefinition(organizationId: string, text: string): Promise<ParsedDefinition> {
  const parsed = text.length <= mostAtOnce ? parseDefinition(text) : await parses.ask(organizationId, text);
  if (parsed.definition === undefined || parsed.definition.inputSchema === undefined) {
    return parsed;
  }
  const wrong = await checkSchema(organizationId, parsed.definition.inputSchema);
  return wrong === undefined
    ? parsed
    : fault("bad_schema", "input_schema", `is no JSON Schema: ${wrong}`, parsed.schemaPosition);
}

function fault(
  code: ProblemCode,
  path: string,
  message: string,
  { line, column } = { line: 1, column: 1 },
): ParsedDefinition {
  return { problems: [{ path, line, column, code, message }] };
}
