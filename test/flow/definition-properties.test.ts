import fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { parseDefinition } from "../../src/flow/definition.ts";

interface Task {
  readonly name: string;
  readonly depends_on: readonly string[];
}

/** Any name: mostly short, from the whole of Unicode. */
const names = fc
  .oneof(
    fc.string({ unit: "binary", minLength: 1, maxLength: 10 }),
    fc.constantFrom("__proto__", "<<", "1", "null", "- a"),
  )
  .filter((name) => !/[\p{Cc}\p{Cs}]/u.test(name) && name === name.normalize("NFC"));

/** Tasks of which each depends on some of those before it, and then in any order. */
const acyclicTasks = fc
  .uniqueArray(names, { minLength: 1, maxLength: 15 })
  .chain((all) => {
    const tasks = all.map((name, index) =>
      fc.record({ name: fc.constant(name), depends_on: fc.subarray(all.slice(0, index)) }),
    );
    return fc.tuple(...tasks);
  })
  .chain((tasks) => fc.shuffledSubarray(tasks, { minLength: tasks.length }));

const styles = fc.constantFrom<(value: object) => string>(
  JSON.stringify,
  (value) => JSON.stringify(value, null, 2),
  (value) => stringify(value, { aliasDuplicateObjects: false }),
  (value) => stringify(value, { defaultStringType: "QUOTE_SINGLE" }),
);

test("tasks without a circle are read as they were written, each in a level after all it depends on", () => {
  fc.assert(
    fc.property(acyclicTasks, styles, (tasks: readonly Task[], style) => {
      const parsed = parseDefinition(style({ name: "flow", tasks }));
      if (!parsed.definition) {
        return expect(parsed.problems).toEqual([]);
      }
      expect(parsed.definition.tasks.map(({ name, dependsOn }) => ({ name, depends_on: dependsOn }))).toEqual(
        tasks,
      );
      const levelOf = new Map(
        parsed.levels.flatMap((level, index) => level.map((name) => [name, index] as const)),
      );
      expect(levelOf.size).toBe(tasks.length);
      for (const { name, depends_on } of tasks) {
        expect(levelOf.get(name)).toBe(Math.max(-1, ...depends_on.map((other) => levelOf.get(other)!)) + 1);
      }
    }),
  );
});

test("tasks with a dependency that closes a circle have exactly one cycle", () => {
  const withEdge = acyclicTasks.filter((tasks) => tasks.some((task) => task.depends_on.length > 0));
  fc.assert(
    fc.property(withEdge, fc.nat(), fc.nat(), (tasks, anyTask, anyDependency) => {
      const dependents = tasks.filter((task) => task.depends_on.length > 0);
      const { name, depends_on } = dependents[anyTask % dependents.length]!;
      const target = depends_on[anyDependency % depends_on.length]!;
      const closed = tasks.map((task) =>
        task.name === target ? { name: target, depends_on: [...task.depends_on, name] } : task,
      );
      const { problems } = parseDefinition(JSON.stringify({ name: "flow", tasks: closed }));
      expect(problems.map(({ code }) => code)).toEqual(["cycle"]);
    }),
  );
});

/** Texts that look like YAML, and like a definition, at first sight. */
const almostYaml = fc
  .array(
    fc.constantFrom(
      ..."[]{}:,-?&*!|>'\"%@`#~ \n\t\r\0\\a1é😀\ud800".split(""),
      ..."\n  |\n- |: |&a |*a |!!int |!!str |!!js/x |<<: |--- |...\n|%YAML 1.1\n|%TAG ! a\n|\ufeff|\\u0000|\\ud800|>-\n|1e400".split(
        "|",
      ),
      ..."name: |tasks:|tasks:\n|- name: a\n|depends_on: [a]\n|depends_on: |executor: |{name: b}".split("|"),
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(""));

test("whatever the text is, the answer is a definition or problems, which are inside the text and in order", () => {
  fc.assert(
    fc.property(fc.oneof(almostYaml, fc.string({ unit: "binary" }), fc.json()), (text) => {
      const { definition, problems } = parseDefinition(text);
      expect(definition === undefined).toBe(problems.length > 0);
      const lines = text.split("\n");
      for (const { line, column, message } of problems) {
        expect(line).toBeGreaterThanOrEqual(1);
        expect(line).toBeLessThanOrEqual(lines.length);
        expect(column).toBeGreaterThanOrEqual(1);
        expect(column).toBeLessThanOrEqual(lines[line - 1]!.length + 1);
        expect(message).toMatch(/^.{1,600}$/);
      }
      const offsets = problems.map(({ line, column }) => line * 1_000_000 + column);
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
    }),
    { numRuns: 2000 },
  );
});
