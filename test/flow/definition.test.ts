import { expect, test } from "vitest";
import { parseDefinition } from "../../src/flow/definition.ts";

test("a definition gives its tasks in order, and their levels", () => {
  const parsed = parseDefinition(`
name: nightly-report
description: What the sales did.
tasks:
  - name: report
    depends_on: [transform, extract]
  - name: transform
    executor: python
    depends_on:
      - extract
  - name: extract
  - {name: notify, depends_on: []}
`);
  expect(parsed).toMatchObject({
    definition: {
      name: "nightly-report",
      description: "What the sales did.",
      tasks: [
        { name: "report", executor: "report", dependsOn: ["transform", "extract"] },
        { name: "transform", executor: "python", dependsOn: ["extract"] },
        { name: "extract", executor: "extract", dependsOn: [] },
        { name: "notify", executor: "notify", dependsOn: [] },
      ],
    },
    levels: [["extract", "notify"], ["transform"], ["report"]],
    problems: [],
  });
});

test("JSON is YAML", () => {
  const json = JSON.stringify({ name: "flow", tasks: [{ name: "a" }, { name: "b", depends_on: ["a"] }] });
  expect(parseDefinition(json)).toMatchObject({ levels: [["a"], ["b"]] });
});

test.each([
  "bacass.CAT_FASTQ.1",
  "two words",
  " ",
  "Größe",
  "データ抽出",
  "👩‍🔬 analysis",
  "../%2f'\"; drop table flow --",
  "{{ template }}",
  "__proto__",
  "constructor",
  "\u202eright to left",
  "zero\u200bwidth",
])("%j is a name like any other", (name) => {
  const text = JSON.stringify({
    name,
    tasks: [
      { name, executor: name },
      { name: "last", depends_on: [name] },
    ],
  });
  const { definition } = parseDefinition(text);
  expect(definition).toMatchObject({
    name,
    description: "",
    tasks: [
      { name, executor: name, dependsOn: [] },
      { name: "last", executor: "last", dependsOn: [name] },
    ],
  });
});

test.each(["yes", "no", "on", "off", "0o", "1.2.3", "2026-11-24", "~a", "NULL!", "1_000"])(
  "%s is text in YAML 1.2",
  (name) => {
    expect(parseDefinition(`name: ${name}\ntasks: [{name: ${name}}]`).definition).toMatchObject({ name });
    // Not even who asks for YAML 1.1 gets a boolean.
    expect(parseDefinition(`%YAML 1.1\n---\nname: ${name}\ntasks: [{name: a}]`).definition).toMatchObject({
      name,
    });
  },
);

test("names that differ in case are different", () => {
  expect(parseDefinition("name: x\ntasks: [{name: load}, {name: Load, depends_on: [load]}]")).toMatchObject({
    levels: [["load"], ["Load"]],
  });
});

test("lengths count characters, not bytes or halves of pairs", () => {
  const name = "😀".repeat(200);
  const description = "世".repeat(4096);
  expect(parseDefinition(JSON.stringify({ name, description, tasks: [{ name }] })).definition).toMatchObject({
    name,
    description,
  });
});

test("an alias stands for what its anchor does, wherever it is", () => {
  const parsed = parseDefinition(`
name: &name flow
tasks:
  - {name: a, depends_on: &last [z]}
  - {name: b, executor: *name, depends_on: *last}
  - {name: &last z}
  - {name: c, depends_on: [*last]}
`);
  expect(parsed.definition?.tasks).toMatchObject([
    { name: "a", executor: "a", dependsOn: ["z"] },
    { name: "b", executor: "flow", dependsOn: ["z"] },
    { name: "z", executor: "z", dependsOn: [] },
    { name: "c", executor: "c", dependsOn: ["z"] },
  ]);
});

test("a definition may begin with a byte order mark, end its lines as Windows does, and name its types", () => {
  const text =
    "\ufeff%YAML 1.2\r\n---\r\nname: !!str 7\r\ndescription: |\r\n  two\r\n  lines\r\ntasks: !!seq\r\n- name: a\r\n...\r\n";
  expect(parseDefinition(text).definition).toMatchObject({
    name: "7",
    description: "two\nlines\n",
    tasks: [{ name: "a", executor: "a", dependsOn: [] }],
  });
});

test("10,000 tasks, each after the one before, are 10,000 levels", () => {
  const tasks = Array.from({ length: 10_000 }, (_, index) => ({
    name: `task.${index}`,
    depends_on: index === 0 ? [] : [`task.${index - 1}`],
  }));
  const parsed = parseDefinition(JSON.stringify({ name: "chain", tasks }));
  expect(parsed.definition?.tasks).toHaveLength(10_000);
  expect(parsed).toMatchObject({ levels: tasks.map(({ name }) => [name]) });
});
