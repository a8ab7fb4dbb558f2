import { expect, test } from "vitest";
import { fieldsOf, initialValue, inputOf } from "../src/flows/input-fields.ts";

const schema = {
  type: "object",
  required: ["day"],
  properties: {
    day: { type: "string", format: "date" },
    count: { type: "integer", minimum: 1, default: 3 },
    ratio: { type: "number" },
    dry: { type: "boolean" },
    region: { enum: ["emea", 7] },
    files: { type: "array", items: { type: "string" } },
  },
};

test("each property of a schema has a field of its kind", () => {
  expect(fieldsOf(schema)!.map(({ name, kind, isRequired }) => `${name} ${kind} ${isRequired}`)).toEqual([
    "day date true",
    "count integer false",
    "ratio number false",
    "dry boolean false",
    "region choice false",
    "files json false",
  ]);
});

test("what is left empty is left out, and defaults stand in the form", () => {
  const fields = fieldsOf(schema)!;
  expect(inputOf(fields, initialValue(fields))).toEqual({ count: 3, dry: false });
});

test("numbers, choices and JSON come out as what they are", () => {
  const values = { day: "2026-11-24", count: "12", ratio: "0.5", dry: true, region: "7", files: '["a"]' };
  expect(inputOf(fieldsOf(schema)!, values)).toEqual({
    day: "2026-11-24",
    count: 12,
    ratio: 0.5,
    dry: true,
    region: 7,
    files: ["a"],
  });
});

test("a field for JSON that holds none is refused", () => {
  expect(() => inputOf(fieldsOf(schema)!, { files: "[" })).toThrow(SyntaxError);
});

test.each([[undefined], [true], [{ type: "array" }], [{ type: "object" }]])(
  "%j gives no form, so that the input is asked for as JSON",
  (other) => {
    expect(fieldsOf(other)).toBeUndefined();
  },
);
