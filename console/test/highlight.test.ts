import { expect, test } from "vitest";
import { highlight } from "../src/flows/highlight.ts";

const kinds = (line: string, ...columns: number[]) =>
  highlight(
    line,
    columns.map((column) => ({ line: 1, column })),
  )
    .filter(({ kind }) => kind !== "text")
    .map(({ kind, text }) => `${kind} ${text}`);

test("the parts of a line are the line again", () => {
  for (const line of ["", "  - name: extract # first", 'input: { day: "{{input.day}}" }', "  '"]) {
    expect(
      highlight(line, [])
        .map(({ text }) => text)
        .join(""),
    ).toBe(line);
  }
});

test("keys, templates and comments are told apart", () => {
  expect(kinds("  - name: extract # first")).toEqual(["key name", "comment  # first"]);
  expect(kinds('  day: "{{input.day}}"')).toEqual(["key day", "template {{input.day}}"]);
  expect(kinds('  text: "a # b"')).toEqual(["key text"]);
});

test("the word at the position of a problem is marked, also behind the end of the line", () => {
  expect(kinds("  depends_on: [prise]", 16)).toEqual(["key depends_on", "problem prise"]);
  expect(kinds("  - name:", 40)).toEqual(["key name", "problem :"]);
});
