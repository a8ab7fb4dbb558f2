import { describe, expect, test } from "vitest";
import { parseDefinition } from "../../src/flow/definition.ts";
import { formatDuration, parseDuration } from "../../src/flow/duration.ts";
import { problemsOf } from "./problems-of.ts";

const levelsOf = (tasks: string) => {
  const parsed = parseDefinition(`name: x\ntasks:\n${tasks}`);
  return parsed.definition ? parsed.levels : parsed.problems.map(({ path, code }) => `${path} ${code}`);
};

describe("the templates of a flow", () => {
  test("say what comes after what, in levels, wherever they stand", () => {
    expect(
      levelsOf(`
- {name: sum, input: {deep: [{er: "all of {{each.output}}"}]}}
- {name: each, for_each: "{{list.output.items}}", input: "{{item}} {{config.output}} {{input.x}}"}
- {name: list}
- {name: config, depends_on: [list]}
- {name: '["odd"]', input: "{{sum.output}}"}
- {name: apart}`),
    ).toEqual([["list", "apart"], ["config"], ["each"], ["sum"], ['["odd"]']]);
  });

  test("and depends_on count once, in the order in which they are written", () => {
    const { definition } = parseDefinition(
      'name: x\ntasks: [{name: a}, {name: b}, {name: c, depends_on: [b], input: ["{{a.output}}", "{{b.output}}", "{{a.output.x}}"]}]',
    );
    expect(definition!.tasks[2]!.dependsOn).toEqual(["b", "a"]);
  });

  test("reach a task whose name has dots or is that of a root", () => {
    expect(
      levelsOf(`
- {name: last, input: '{{["a.b"].output}} {{["input"].output}}'}
- {name: a.b}
- {name: input}`),
    ).toEqual([["a.b", "input"], ["last"]]);
  });

  test("that cannot be resolved are told all at once, each where it stands", () => {
    const text = `name: x
tasks:
- name: a
  input: "{{b.output}}"
- name: b
  for_each: "{{c.output}}"
- name: c
  input: {rows: ["{{a.output}}", "{{nobody.output}}"]}
- name: itself
  input: "{{itself.output}}"
- name: lost
  input:
    one: "{{item}}"
    two: "{{item_index}} {{oops"
    three: "\\\\{{fine}} {{input.x}}"
- name: loop
  for_each: "{{item}}"
- name: mixed
  for_each: "no template"
- name: later
  depends_on: [mixde]
  input: "{{aa.output}}"
`;
    expect(problemsOf(text)).toEqual([
      "4:10 tasks[0].input cycle",
      "8:34 tasks[2].input.rows[1] unknown_task",
      "10:10 tasks[3].input self_dependency",
      "13:10 tasks[4].input.one item_outside_loop",
      "14:10 tasks[4].input.two bad_template",
      "17:13 tasks[5].for_each item_outside_loop",
      "19:13 tasks[6].for_each bad_template",
      "21:16 tasks[7].depends_on[0] unknown_task",
      "22:10 tasks[7].input unknown_task",
    ]);
  });

  test.each([
    ["two tasks", ['a: "{{b.output}}"', 'b: "{{a.output}}"']],
    ["a template and depends_on", ['a: "{{b.output}}"', "b: [a]"]],
    ["a loop's list and the inputs of its items", ['a: each "{{b.output}}"', 'b: "{{a.output}}"']],
    ["a long way round", ['a: "{{d.output}}"', "b: [a]", 'c: "{{b.output}}"', "d: [c]"]],
  ])("that wait for each other are a cycle: %s", (_what, tasks) => {
    const lines = tasks.map((task) => {
      const [name, rest] = task.split(": ") as [string, string];
      if (rest.startsWith("each")) return `- {name: ${name}, for_each: ${rest.slice(5)}}`;
      return rest.startsWith("[")
        ? `- {name: ${name}, depends_on: ${rest}}`
        : `- {name: ${name}, input: ${rest}}`;
    });
    const problems = levelsOf(lines.join("\n"));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^tasks\[0\]\.(input|for_each) cycle$/);
  });

  test("may be a thousand in a task, and not one more", () => {
    const task = (count: number) => `- {name: a}\n- {name: b, input: "${"{{a.output}}".repeat(count)}"}`;
    expect(levelsOf(task(1000))).toEqual([["a"], ["b"]]);
    expect(levelsOf(task(1001))).toEqual(["tasks[1].input bad_template"]);
  });
});

describe("a duration", () => {
  test.each([
    ["1ms", 1],
    ["500ms", 500],
    ["10s", 10_000],
    ["1m", 60_000],
    ["1h30m", 5_400_000],
    ["2d", 172_800_000],
    ["1d2h3m4s5ms", 93_784_005],
    ["0s", 0],
    ["90m", 5_400_000],
  ])("%s is %i ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
    expect(parseDuration(formatDuration(ms))).toBe(ms);
  });

  test.each([
    "",
    "10",
    "s",
    "-1s",
    "1.5s",
    "1 s",
    "1S",
    "1m1h",
    "1s1s",
    "1y",
    "1e3s",
    "١s",
    "1s\n",
    "9999999999s",
    "∞",
  ])("is not %j", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});

describe("the value of a task", () => {
  test.each<[string, string]>([
    ["executor: ''", "executor bad_length"],
    ["executor: [a]", "executor wrong_type"],
    ["timeout: 999ms", "timeout bad_duration"],
    ["timeout: 8d", "timeout bad_duration"],
    ["timeout: 10", "timeout wrong_type"],
    ["timeout: soon", "timeout bad_duration"],
    ["lease: 500ms", "lease bad_duration"],
    ["lease: 61m", "lease bad_duration"],
    ["lease: {s: 1}", "lease wrong_type"],
    ["on_failure: ignore", "on_failure bad_choice"],
    ["on_failure: true", "on_failure wrong_type"],
    ["for_each: [1, 2]", "for_each wrong_type"],
    ["for_each: '{{input.a}}{{input.b}}'", "for_each bad_template"],
    ["for_each: ' {{input}}'", "for_each bad_template"],
    ["for_each: ''", "for_each bad_template"],
    ["retry: 3", "retry wrong_type"],
    ["retry: {attempts: 3}", "retry.attempts unknown_key"],
    ["retry: {max_attempts: 0}", "retry.max_attempts bad_number"],
    ["retry: {max_attempts: 101}", "retry.max_attempts bad_number"],
    ["retry: {max_attempts: 1.5}", "retry.max_attempts bad_number"],
    ["retry: {max_attempts: '3'}", "retry.max_attempts wrong_type"],
    ["retry: {max_attempts: .inf}", "retry.max_attempts bad_number"],
    ["retry: {multiplier: 0.5}", "retry.multiplier bad_number"],
    ["retry: {multiplier: 11}", "retry.multiplier bad_number"],
    ["retry: {multiplier: .nan}", "retry.multiplier bad_number"],
    ["retry: {initial_backoff: -1s}", "retry.initial_backoff bad_duration"],
    ["retry: {initial_backoff: 25h}", "retry.initial_backoff bad_duration"],
    ["retry: {max_backoff: 1}", "retry.max_backoff wrong_type"],
    ["retry: {non_retryable: Boom}", "retry.non_retryable wrong_type"],
    ["retry: {non_retryable: ['']}", "retry.non_retryable[0] bad_length"],
    ["retry: {non_retryable: [1]}", "retry.non_retryable[0] wrong_type"],
  ])("%s is refused", (line, want) => {
    const problems = problemsOf(`name: x\ntasks:\n- name: a\n  ${line}`).map((problem) => problem.split(" "));
    expect(problems.map(([, path, code]) => `${path!.replace("tasks[0].", "")} ${code}`)).toEqual([want]);
    expect(problems[0]![0]).toMatch(/^4:/);
  });

  test("is what it is by default where it is left out, and what is written where it is not", () => {
    const { definition } = parseDefinition(`name: x
tasks:
- name: plain
- name: full
  executor: python
  for_each: "{{input}}"
  timeout: 7d
  lease: 1h
  on_failure: continue
  retry: {max_attempts: 100, initial_backoff: 0s, multiplier: 1, max_backoff: 1d, non_retryable: [A, B]}`);
    const none = {
      maxAttempts: 1,
      initialBackoffMs: 1000,
      multiplier: 2,
      maxBackoffMs: 60_000,
      nonRetryable: [],
    };
    expect(definition!.tasks).toMatchObject([
      { name: "plain", executor: "plain", dependsOn: [], retry: none, leaseMs: 30_000, onFailure: "fail" },
      {
        executor: "python",
        timeoutMs: 604_800_000,
        leaseMs: 3_600_000,
        onFailure: "continue",
        retry: {
          maxAttempts: 100,
          initialBackoffMs: 0,
          multiplier: 1,
          maxBackoffMs: 86_400_000,
          nonRetryable: ["A", "B"],
        },
      },
    ]);
    expect(definition!.tasks[0]!.timeoutMs).toBeUndefined();
  });
});
