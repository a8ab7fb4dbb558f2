import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { LedgerError } from "../../src/errors.ts";
import { parseDefinition } from "../../src/flow/definition.ts";
import { requireDefinition } from "../../src/flow/definition-invalid.ts";

async function refusalOf(text: string): Promise<LedgerError> {
  try {
    await requireDefinition("organization", text);
  } catch (error) {
    if (error instanceof LedgerError) return error;
  }
  throw new Error("it was not refused");
}

describe("the error for a definition with problems", () => {
  test("names the only one", async () => {
    const { problem, message, facts } = await refusalOf("");
    expect(problem).toBe("DEFINITION_INVALID");
    expect(message).toMatch(/^definition: 1 problem, line 1, column 1: is empty/);
    expect(facts.violations).toHaveLength(1);
  });

  test("names all that fit, and how many more there are", async () => {
    const text = `name: x\ntasks:\n${Array.from({ length: 40 }, (_, n) => `  - {name: ${n}n, after: []}\n`).join("")}`;
    const { violations = [] } = (await refusalOf(text)).facts;
    const left = 40 - (violations.length - 1);
    expect(left).toBeGreaterThan(0);
    expect(violations.at(-1)!.description).toBe(`and ${left} more; ValidateFlow lists them`);
    expect(parseDefinition(text).problems).toHaveLength(40);
  });

  // Beyond 8 KiB of headers clients see no error at all, but one of their own.
  test.each(["x", "€", "😀"])("fits the headers that a gRPC client takes, with names of %s", async (char) => {
    const name = char.repeat(150);
    const tasks = Array.from(
      { length: 500 },
      (_, n) => `  - {name: ${n}${name}, depends_on: [${name}${n}]}\n`,
    );
    const { message, facts } = await refusalOf(`name: x\ntasks:\n${tasks.join("")}`);
    const details = toBinary(
      BadRequestSchema,
      create(BadRequestSchema, { fieldViolations: facts.violations!.map((violation) => ({ ...violation })) }),
    );
    expect((details.length * 4) / 3 + encodeURIComponent(message).length).toBeLessThan(7500);
  });
});
