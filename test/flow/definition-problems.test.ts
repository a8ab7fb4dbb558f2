import { describe, expect, test } from "vitest";
import { parseDefinition } from "../../src/flow/definition.ts";
import type { ProblemCode } from "../../src/flow/definition-problems.ts";
import { problemsOf } from "./problems-of.ts";

interface Example {
  readonly text: string;
  /** As `line:column path`. */
  readonly at: string;
  readonly message: string;
}

/** Examples of each problem, none of which has another one beside it. */
const examples: Record<
  Exclude<ProblemCode, "too_many_problems" | "bad_schema" | "too_costly">,
  readonly Example[]
> = {
  too_large: [
    {
      text: `name: x\ntasks: [{name: a}]\n# ${"世".repeat(350_000)}`,
      at: "1:1 -",
      message: "1050029 bytes are more than the limit of 1048576; split the flow",
    },
  ],
  bad_characters: [
    {
      text: "name: x\ntasks: [{name: a}] # \0",
      at: "2:22 -",
      message: "holds the character U+0000; leave it out",
    },
    {
      text: "name: x\ntasks: [{name: a}] # 😀\ud83d",
      at: "2:24 -",
      message: "holds the character U+D83D; leave it out",
    },
    {
      text: 'name: "a\\u009bb"\ntasks: [{name: a}]',
      at: "1:7 name",
      message: "holds the character U+009B; leave it out",
    },
    {
      text: 'name: x\ntasks:\n- name: "one\\n\\\n    two"',
      at: "3:9 tasks[0].name",
      message: "holds the character U+000A; leave it out",
    },
    {
      text: 'name: x\ndescription: "line\\n\\uDC00"\ntasks: [{name: a}]',
      at: "2:14 description",
      message: "holds the character U+DC00; leave it out",
    },
    {
      text: "name: x\ntasks: [{name: a, executor: cafe\u0301}]",
      at: "2:29 tasks[0].executor",
      message: "is not in Unicode normalization form C (NFC); save the file in it",
    },
  ],
  bad_number: [
    {
      text: "name: x\ntasks: [{name: a, retry: {max_attempts: 101}}]",
      at: "2:41 tasks[0].retry.max_attempts",
      message: "must be an integer from 1 to 100",
    },
    {
      text: "name: x\ntasks: [{name: a, input: {x: .inf}}]",
      at: "2:30 tasks[0].input.x",
      message: "is not a number that JSON has; put it in quotes",
    },
  ],
  bad_duration: [
    {
      text: "name: x\ntasks: [{name: a, timeout: 1m1h}]",
      at: "2:28 tasks[0].timeout",
      message: "must be a duration of 1s to 7d, such as 10s or 1h30m",
    },
    {
      text: "name: x\ntasks: [{name: a, lease: 2h}]",
      at: "2:26 tasks[0].lease",
      message: "must be a duration of 1s to 1h, such as 10s or 1h30m",
    },
  ],
  bad_choice: [
    {
      text: "name: x\ntasks: [{name: a, on_failure: stop}]",
      at: "2:31 tasks[0].on_failure",
      message: "must be fail or continue",
    },
  ],
  bad_template: [
    {
      text: 'name: x\ntasks: [{name: a}, {name: b, input: {rows: ["{{a.rows}}"]}}]',
      at: "2:45 tasks[1].input.rows[0]",
      message: "{{a.rows}} is no template: of a task there is .output, as in {{a.output}}",
    },
    {
      text: 'name: x\ntasks: [{name: a}, {name: b, for_each: "all {{a.output}}"}]',
      at: "2:40 tasks[1].for_each",
      message: 'must be one template of a list, such as "{{task.output.items}}"',
    },
  ],
  item_outside_loop: [
    {
      text: 'name: x\ntasks: [{name: a, input: "{{item.id}}"}]',
      at: "2:26 tasks[0].input",
      message: '"{{item.id}}" stands for an item of for_each, which is not given here',
    },
  ],
  yaml_syntax: [
    {
      text: "name: x\ntasks:\n  - name: a\n   - name: b",
      at: "4:4 -",
      message: "not YAML 1.2: All sequence items must start at the same column",
    },
  ],
  too_deep: [
    {
      text: `name: x\ntasks: ${"[".repeat(40)}`,
      at: "2:40 -",
      message: "more than 33 lists and maps inside each other",
    },
  ],
  empty_document: [
    { text: "", at: "1:1 -", message: "is empty; write the name and the tasks of a flow" },
    { text: "\n# nothing yet\n", at: "1:1 -", message: "is empty; write the name and the tasks of a flow" },
    { text: "--- ~", at: "1:1 -", message: "is empty; write the name and the tasks of a flow" },
  ],
  multiple_documents: [
    {
      text: "name: x\ntasks: [{name: a}]\n---\nname: y",
      at: "3:1 -",
      message: "a second YAML document begins here; send each flow by itself",
    },
  ],
  unknown_tag: [
    {
      text: "name: !!js/function 'process.exit()'\ntasks: [{name: a}]",
      at: "1:7 -",
      message: 'the YAML tag "!!js/function" does not fit here; leave it out',
    },
    {
      text: "name: x\ntasks: !!set [{name: a}]",
      at: "2:8 -",
      message: 'the YAML tag "!!set" does not fit here; leave it out',
    },
  ],
  unknown_alias: [
    {
      text: "name: x\ntasks: [{name: *later}, {name: &later a}]",
      at: "2:16 tasks[0].name",
      message: 'there is no anchor "&later" before it; write the value',
    },
  ],
  alias_bomb: [
    {
      text:
        `name: x\ntasks:\n- {name: a, executor: &long ${"a".repeat(200)}}\n` +
        Array.from({ length: 6000 }, (_, index) => `- {name: t${index}, executor: *long}\n`).join(""),
      at: "5246:27 tasks[5243].executor",
      message: "the aliases stand for more than 1048576 characters; write less with them",
    },
  ],
  duplicate_key: [
    {
      text: "name: x\ntasks: [{name: a}]\nname: y",
      at: "3:1 name",
      message: "the key is already at line 1, column 1; remove one",
    },
  ],
  unknown_key: [
    {
      text: "name: x\ntasks: [{name: a, depend_on: []}]",
      at: "2:19 tasks[0].depend_on",
      message:
        'no such key here; did you mean "depends_on"? The keys are name, executor, depends_on, input, for_each, retry, timeout, lease, on_failure',
    },
    {
      text: "name: x\nversion: 3\ntasks: [{name: a}]",
      at: "2:1 version",
      message: "no such key here; remove it. The keys are name, description, input_schema, tasks",
    },
    {
      text: "name: x\ntasks: [{name: a, __proto__: {executor: b}}]",
      at: "2:19 tasks[0].__proto__",
      message:
        "no such key here; remove it. The keys are name, executor, depends_on, input, for_each, retry, timeout, lease, on_failure",
    },
    {
      text: "name: x\ntasks: [{name: a, hasOwnProperty: b}]",
      at: "2:19 tasks[0].hasOwnProperty",
      message:
        "no such key here; remove it. The keys are name, executor, depends_on, input, for_each, retry, timeout, lease, on_failure",
    },
    {
      text: 'name: x\n"a.b\\n": 3\ntasks: [{name: a}]',
      at: '2:1 ["a.b\\u000a"]',
      message: "no such key here; remove it. The keys are name, description, input_schema, tasks",
    },
    {
      text: "name: x\ntasks: [&a {name: a}, {<<: *a, name: b}]",
      at: '2:24 tasks[1]["<<"]',
      message: "merge keys are not part of YAML 1.2; write out what it would merge",
    },
  ],
  missing_key: [
    { text: "description: x\ntasks: [{name: a}]", at: "1:1 -", message: 'has no "name"; add it' },
    { text: "name: x", at: "1:1 -", message: 'has no "tasks"; add it' },
    { text: "name: x\ntasks:\n- executor: a", at: "3:3 tasks[0]", message: 'has no "name"; add it' },
  ],
  wrong_type: [
    {
      text: "- a",
      at: "1:1 -",
      message: "must be a map with the keys name, description, input_schema, tasks, but is a list",
    },
    {
      text: "name: 007\ntasks: [{name: a}]",
      at: "1:7 name",
      message: "must be a text, but is the number 007; put it in quotes",
    },
    {
      text: "name: x\ntasks:\n- name: True",
      at: "3:9 tasks[0].name",
      message: "must be a text, but is the boolean True; put it in quotes",
    },
    {
      text: "name: x\ndescription: 1e400\ntasks: [{name: a}]",
      at: "2:14 description",
      message: "must be a text, but is the number 1e400; put it in quotes",
    },
    { text: "name: x\ntasks:\n- name:", at: "3:8 tasks[0].name", message: "must be a text, but is empty" },
    { text: "name: x\ntasks: [{name}]", at: "2:10 tasks[0].name", message: "must be a text, but is empty" },
    { text: "name: {}\ntasks: [{name: a}]", at: "1:7 name", message: "must be a text, but is a map" },
    {
      text: "name: x\ntasks: {name: a}",
      at: "2:8 tasks",
      message: "must be a list of tasks, each a map with a name, but is a map",
    },
    {
      text: "name: x\ntasks: [a]",
      at: "2:9 tasks[0]",
      message:
        "must be a map with the keys name, executor, depends_on, input, for_each, retry, timeout, lease, on_failure, but is a text",
    },
    {
      text: "name: x\ntasks: [{name: b}, {name: a, depends_on: b}]",
      at: "2:42 tasks[1].depends_on",
      message: "must be a list of task names, such as [extract, load], but is a text",
    },
    {
      text: "name: x\ntasks: [{name: a, depends_on: &all [*all]}]",
      at: "2:37 tasks[0].depends_on[0]",
      message: "must be a text, but is a list",
    },
    {
      text: "name: x\n7: y\ntasks: [{name: a}]",
      at: "2:1 -",
      message: "must be a text, being a key, but is the number 7; put it in quotes",
    },
    {
      text: "name: &name x\n*name : y\ntasks: [{name: a}]",
      at: "2:1 -",
      message: "must be a text, being a key, but is an alias",
    },
  ],
  bad_length: [
    { text: 'name: ""\ntasks: [{name: a}]', at: "1:7 name", message: "is empty; write 1 to 200" },
    {
      text: `name: x\ntasks: [{name: ${"😀".repeat(201)}}]`,
      at: "2:16 tasks[0].name",
      message: "has 201 characters; write 1 to 200",
    },
    {
      text: `name: x\ndescription: ${"a".repeat(4097)}\ntasks: [{name: a}]`,
      at: "2:14 description",
      message: "has 4097 characters; write 0 to 4096",
    },
    { text: "name: x\ntasks: []", at: "2:8 tasks", message: "is empty; a flow has at least one task" },
  ],
  too_many_tasks: [
    {
      text: `name: x\ntasks:\n${Array.from({ length: 10_002 }, (_, index) => `- name: t${index}\n`).join("")}`,
      at: "10003:3 tasks[10000]",
      message: "10002 tasks are more than 10000; split the flow",
    },
  ],
  duplicate_name: [
    {
      text: "name: x\ntasks:\n- name: a\n- name: b\n- name: a",
      at: "5:9 tasks[2].name",
      message: '"a" is already the name of tasks[0] at line 3, column 9; choose another',
    },
  ],
  unknown_task: [
    {
      text: "name: x\ntasks: [{name: load}, {name: report, depends_on: [laod, load]}]",
      at: "2:51 tasks[1].depends_on[0]",
      message: 'no task of this flow has the name "laod"; add it, or remove this',
    },
    {
      text: "name: x\ntasks: [{name: extract}, {name: load, depends_on: [Extrct]}]",
      at: "2:52 tasks[1].depends_on[0]",
      message: 'no task of this flow has the name "Extrct"; did you mean "extract"?',
    },
    {
      text: "name: x\ntasks: [{name: a, depends_on: [__proto__]}]",
      at: "2:32 tasks[0].depends_on[0]",
      message: 'no task of this flow has the name "__proto__"; add it, or remove this',
    },
    {
      text: "name: x\ntasks: [{name: a, depends_on: [toString]}]",
      at: "2:32 tasks[0].depends_on[0]",
      message: 'no task of this flow has the name "toString"; add it, or remove this',
    },
  ],
  self_dependency: [
    {
      text: "name: x\ntasks: [{name: b}, {name: a, depends_on: [b, a]}]",
      at: "2:46 tasks[1].depends_on[1]",
      message: '"a" depends on itself; remove this',
    },
  ],
  duplicate_dependency: [
    {
      text: "name: x\ntasks: [{name: b}, {name: a, depends_on: [b, b]}]",
      at: "2:46 tasks[1].depends_on[1]",
      message: '"b" is already at line 2, column 43; remove one',
    },
  ],
  cycle: [
    {
      text: "name: x\ntasks:\n- {name: z}\n- {name: b, depends_on: [z, a]}\n- {name: a, depends_on: [b]}",
      at: "4:29 tasks[1].depends_on[1]",
      message: 'tasks depend on each other: "b" -> "a" -> "b"; remove a dependency',
    },
    {
      text: "name: x\ntasks: [{name: a, depends_on: [b]}, {name: b, depends_on: [a, c]}, {name: c, depends_on: [a]}]",
      at: "2:32 tasks[0].depends_on[0]",
      message:
        'tasks depend on each other: "a" -> "b" -> "a"; 3 tasks in all are in circles with these; remove a dependency',
    },
    {
      text: `name: x\ntasks:\n${Array.from({ length: 100 }, (_, index) => `- {name: t${index}, depends_on: [t${(index + 1) % 100}]}\n`).join("")}`,
      at: "3:27 tasks[0].depends_on[0]",
      message:
        'tasks depend on each other: "t0" -> "t1" -> "t2" -> "t3" -> "t4" -> "t5" -> "t6" -> "t7" -> "t8" -> "t9"' +
        ' -> 90 more -> "t0"; remove a dependency',
    },
  ],
};

describe.each(Object.entries(examples))("%s", (code, ofCode) => {
  test.each(ofCode)("$at: $message", ({ text, at, message }) => {
    expect(problemsOf(text)).toEqual([`${at} ${code}`]);
    expect(parseDefinition(text).problems[0]?.message).toBe(message);
  });
});

test("all problems are told at once, by position", () => {
  const text = `
nam: x
tasks:
  - name: extract
    retries: 3
  - name: load
    depends_on: [load, lod, extract, extract, 7]
  - {name: extract, depends_on: [transform]}
  - name: transform
    depends_on: [report]
  - name: report
    depends_on: [transform]
    executor: *python
`;
  expect(problemsOf(text)).toEqual([
    "2:1 nam unknown_key",
    "2:1 - missing_key",
    "5:5 tasks[0].retries unknown_key",
    "7:18 tasks[1].depends_on[0] self_dependency",
    "7:24 tasks[1].depends_on[1] unknown_task",
    "7:38 tasks[1].depends_on[3] duplicate_dependency",
    "7:47 tasks[1].depends_on[4] wrong_type",
    "8:12 tasks[2].name duplicate_name",
    "10:18 tasks[3].depends_on[0] cycle",
    "13:15 tasks[4].executor unknown_alias",
  ]);
});

test("a task whose name is refused is still the task that others depend on", () => {
  const text = 'name: x\ntasks: [{name: "a\\t"}, {name: b, depends_on: ["a\\t"]}]';
  expect(problemsOf(text)).toEqual(["2:16 tasks[0].name bad_characters"]);
});

test("each circle is told, however many there are, and once", () => {
  const text =
    "name: x\ntasks:\n" +
    "ab cd ef"
      .split(" ")
      .map(([a, b]) => `- {name: ${a}, depends_on: [${b}]}\n- {name: ${b}, depends_on: [${a}]}\n`)
      .join("");
  expect(problemsOf(text)).toEqual([
    "3:26 tasks[0].depends_on[0] cycle",
    "5:26 tasks[2].depends_on[0] cycle",
    "7:26 tasks[4].depends_on[0] cycle",
  ]);
});

test("a hundred problems are told, and then how many there are from where on", () => {
  const { problems } = parseDefinition(`name: x\ntasks:\n${"- 1\n".repeat(5000)}`);
  expect(problems).toHaveLength(101);
  expect(problems.slice(0, 100).map(({ line }) => line)).toEqual(
    Array.from({ length: 100 }, (_, index) => index + 3),
  );
  expect(problems[100]).toEqual({
    path: "tasks[100]",
    line: 103,
    column: 3,
    code: "too_many_problems",
    message: "from here on there are 4900 more problems; correct the 100 before first",
  });
});

test("a hundred and one problems are too many, a hundred are not", () => {
  expect(problemsOf(`name: x\ntasks:\n${"- 1\n".repeat(100)}`).at(-1)).toBe("102:3 tasks[99] wrong_type");
  expect(problemsOf(`name: x\ntasks:\n${"- 1\n".repeat(101)}`).at(-1)).toBe(
    "103:3 tasks[100] too_many_problems",
  );
});
