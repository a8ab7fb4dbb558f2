import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseDefinition } from "../../src/flow/definition.ts";
import { fieldNames } from "../../src/flow/definition-reader.ts";

const page = readFileSync(new URL("../../docs/flows.md", import.meta.url), "utf8");

test("the example on the page about flow definitions is one, and its tasks come in the order it says", () => {
  const example = /```yaml\n([\s\S]*?)```/.exec(page)![1]!;
  const { problems, levels } = parseDefinition(example) as { problems: unknown[]; levels?: string[][] };
  expect(problems).toEqual([]);
  expect(levels).toEqual([["list"], ["load"], ["notify"]]);
});

test("the page about flow definitions names every key there is", () => {
  for (const name of fieldNames) expect(page).toContain(`\`${name}\``);
});
