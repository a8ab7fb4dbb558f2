import { expect, test } from "vitest";
import { parseDefinition } from "../../src/flow/definition.ts";
import { problemsOf } from "./problems-of.ts";

const mebibyte = 1_048_576;

/** Repeats a text until it is so long: unless told otherwise, as long as a definition may be. */
function fill(part: string, before = "", length = mebibyte): string {
  return before + part.repeat(Math.floor((length - before.length) / part.length));
}

// Nested this deep the parser's stack overflows, or would if it came that far.
test.each([
  ["lists", fill("[")],
  ["lists that end", `${"[".repeat(500_000)}${"]".repeat(500_000)}`],
  ["maps", fill("{a: ")],
  ["items on one line", fill("- ")],
  ["keys on one line", fill("? ")],
  ["keys under keys", Array.from({ length: 1400 }, (_, depth) => `${" ".repeat(depth)}a:\n`).join("")],
  ["lists inside a task", fill("[", "name: x\ntasks: [{name: a, depends_on: ")],
])("%s without end are too deep", (_what, text) => {
  expect(problemsOf(text)).toEqual([expect.stringMatching(/^\d+:\d+ - too_deep$/)]);
});

test("what is just not too deep is read", () => {
  const nested = (depth: number) =>
    `name: x\ntasks: [{name: a}]\nmore: ${"[".repeat(depth)}1${"]".repeat(depth)}`;
  expect(problemsOf(nested(32))).toEqual(["3:1 more unknown_key"]);
  expect(problemsOf(nested(33))).toEqual(["3:39 - too_deep"]);
});

// A parser that compares each key with all others takes minutes for the first.
test.each([
  ["keys", Array.from({ length: 100_000 }, (_, index) => `k${index}:\n`).join(""), "unknown_key"],
  ["commas", fill(",", "[", 250_000), "yaml_syntax"],
  ["brackets", fill("]", "", 250_000), "yaml_syntax"],
  ["anchors", fill("&a ", "", 250_000), "yaml_syntax"],
  ["directives", fill("%a\n", "", 250_000), "yaml_syntax"],
  ["documents", fill("---\n", "", 250_000), "multiple_documents"],
  ["control characters", fill("\x07"), "bad_characters"],
  ["nameless tasks", fill("- {}\n", "name: x\ntasks:\n", 250_000), "missing_key"],
  [
    "unknown tasks",
    `${fill("a,", "name: x\ntasks: [{name: ab, depends_on: [", 250_000)}a]}]`,
    "unknown_task",
  ],
])("no matter how many %s, the answer comes in time and is small", (_what, text, code) => {
  const { problems } = parseDefinition(text);
  expect(problems.map((problem) => problem.code)).toContain(code);
  expect(JSON.stringify(problems).length).toBeLessThan(50_000);
});

test("a billion laughs are a text with strange lists", () => {
  const laughs = Array.from(
    { length: 30 },
    (_, index) => `a${index}: &a${index} [${`*a${index - 1},`.repeat(9)}]`,
  );
  laughs[0] = "a0: &a0 [lol]";
  const text = `name: x\n${laughs.join("\n")}\ntasks: *a29\n`;
  expect(problemsOf(text).filter((problem) => !problem.endsWith("unknown_key"))).toEqual(
    Array.from({ length: 9 }, (_, index) => expect.stringMatching(` tasks\\[${index}\\] wrong_type$`)),
  );
});

test("aliases cannot make more of a text than a text may be", () => {
  const all = Array.from({ length: 5000 }, (_, index) => `t${index}`);
  const tasks = all.map((name) => `- {name: ${name}, depends_on: *all}`);
  const text = `name: x\ntasks:\n- {name: last, depends_on: &all [${all.join(",")}]}\n${tasks.join("\n")}\n`;
  const { problems } = parseDefinition(text);
  expect(problems.map(({ code }) => code)).toContain("alias_bomb");
});

test("an alias inside its own anchor is no endless list", () => {
  expect(problemsOf("name: x\ntasks: &tasks [{name: a}, *tasks]")).toEqual(["2:27 tasks[1] wrong_type"]);
  expect(problemsOf("&all\nname: x\ntasks: *all")).toEqual(["3:8 tasks wrong_type"]);
});

test("no key or name reaches the prototype of anything", () => {
  parseDefinition(
    '{"name": "x", "__proto__": {"polluted": 1}, "tasks": [{"name": "a", "constructor": {"prototype": 1}}]}',
  );
  parseDefinition('{"name": "__proto__", "tasks": [{"name": "__proto__", "executor": "constructor"}]}');
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect("polluted" in {}).toBe(false);
});

test("a message shows no more of a text than it needs, on one line", () => {
  const name = `\\n\\u001b[31m\\u202e${"x".repeat(100_000)}`;
  const { problems } = parseDefinition(`name: x\ntasks: [{name: a, "${name}": 1, depends_on: ["${name}"]}]`);
  expect(problems.map(({ code }) => code)).toEqual(["unknown_key", "unknown_task"]);
  for (const { message, path } of problems) {
    expect(message.length + path.length).toBeLessThan(500);
    expect(message + path).not.toMatch(/[\p{Cc}\u202e]/u);
  }
});

test("parsing leaves the depth of recorded stacks as it was", () => {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 7;
  parseDefinition("name: [");
  expect(Error.stackTraceLimit).toBe(7);
  Error.stackTraceLimit = stackTraceLimit;
});
