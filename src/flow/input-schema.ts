import type { Json } from "../template/json.ts";
import { CheckThread } from "./check-thread.ts";
import type { Answer, InputFault, Question } from "./input-schema-thread.ts";

/** How long one check may take: ordinary ones take a millisecond. */
const mostMs = 1000;

const checks = new CheckThread<Question, Answer>({
  program: new URL("./input-schema-thread.ts", import.meta.url),
  mostMs,
  memory: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16, stackSizeMb: 2 },
  tooCostly: { schemaFault: `is too costly to check: it takes longer than ${mostMs} ms, or too much memory` },
});

/** Says what is wrong with a JSON Schema (2020-12), or undefined. References to other documents are not followed. */
export async function checkSchema(organizationId: string, schema: Json): Promise<string | undefined> {
  const answer = await checks.ask(organizationId, { schema: JSON.stringify(schema) });
  return "schemaFault" in answer ? answer.schemaFault : undefined;
}

/**
 * Returns what is wrong with an input, nothing if it matches.
 *
 * @param schemaText the JSON of a schema
 * @param input the JSON of an input; undefined if there is none, which matches no schema
 */
export async function checkInput(
  organizationId: string,
  schemaText: string,
  input: string | undefined,
): Promise<readonly InputFault[]> {
  const answer = await checks.ask(organizationId, { schema: schemaText, input: input ?? null });
  return "faults" in answer
    ? answer.faults
    : [{ path: "input", message: `cannot be checked: the flow's input_schema ${answer.schemaFault}` }];
}
