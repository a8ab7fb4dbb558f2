import type { TaskDraft } from "./definition-reader.ts";
import { type DependencyGraph, findCircles, findLevels } from "./dependency-graph.ts";
import { createNearest } from "./nearest.ts";
import { type ProblemList, quote } from "./problem-list.ts";
import type { Text } from "./yaml-reader.ts";

/** How many tasks of a circle a message names. */
const mostNamed = 10;

/**
 * Looks up what each task depends on, and returns the tasks by their names in levels: each stands in the first
 * level that comes after all it depends on. Undefined if there are problems, these or earlier ones.
 */
export function findTaskLevels(tasks: readonly TaskDraft[], problems: ProblemList): string[][] | undefined {
  const graph = connect(tasks, findByName(tasks, problems), problems);
  for (const { path, size } of findCircles(graph)) {
    addCycle(tasks, path, size, problems);
  }
  return problems.isEmpty
    ? findLevels(graph).map((level) => level.map((task) => tasks[task]!.name!.text))
    : undefined;
}

/** Returns the index of each task by its name; of two with the same name, that of the first. */
function findByName(tasks: readonly TaskDraft[], problems: ProblemList): ReadonlyMap<string, number> {
  const byName = new Map<string, number>();
  for (const [index, { name }] of tasks.entries()) {
    if (!name) {
      continue;
    }
    const first = byName.get(name.text);
    if (first === undefined) {
      byName.set(name.text, index);
    } else {
      const where = () => problems.describePosition(tasks[first]!.name!.offset);
      problems.add(
        name,
        "duplicate_name",
        () => `${quote(name.text)} is already the name of tasks[${first}] at ${where()}; choose another`,
      );
    }
  }
  return byName;
}

/** Returns the dependencies that can be followed, and adds those that cannot to the problems. */
function connect(
  tasks: readonly TaskDraft[],
  byName: ReadonlyMap<string, number>,
  problems: ProblemList,
): DependencyGraph {
  const suggest = createNearest(byName.keys());
  return tasks.map(({ dependsOn, implied }, task) => {
    const seen = new Map<string, Text>();
    const dependencies: number[] = [];
    for (const dependency of dependsOn) {
      const { text } = dependency;
      const found = byName.get(text);
      const before = seen.get(text);
      if (before) {
        const where = () => problems.describePosition(before.offset);
        problems.add(
          dependency,
          "duplicate_dependency",
          () => `${quote(text)} is already at ${where()}; remove one`,
        );
      } else if (found === undefined) {
        problems.add(dependency, "unknown_task", () => describeUnknown(text, suggest(text)));
      } else if (found === task) {
        problems.add(dependency, "self_dependency", () => `${quote(text)} depends on itself; remove this`);
      } else {
        dependencies.push(found);
      }
      seen.set(text, dependency);
    }
    for (const reference of implied.filter(({ text }) => !seen.has(text))) {
      const { text } = reference;
      const found = byName.get(text);
      if (found === undefined) {
        problems.add(reference, "unknown_task", () => describeUnknown(text, suggest(text)));
      } else if (found === task) {
        problems.add(
          reference,
          "self_dependency",
          () => `${quote(text)} refers to its own output, which is not there when it begins`,
        );
      } else {
        dependencies.push(found);
      }
    }
    return dependencies;
  });
}

function describeUnknown(name: string, near: string | undefined): string {
  const advice = near === undefined ? "add it, or remove this" : `did you mean ${quote(near)}?`;
  return `no task of this flow has the name ${quote(name)}; ${advice}`;
}

/** Adds a cycle, at the dependency of its first task that leads into it. */
function addCycle(
  tasks: readonly TaskDraft[],
  path: readonly number[],
  size: number,
  problems: ProblemList,
): void {
  const name = (step: number) => tasks[path[step % path.length]!]!.name!.text;
  const { dependsOn, implied } = tasks[path[0]!]!;
  const place = [...dependsOn, ...implied].find(({ text }) => text === name(1))!;
  problems.add(place, "cycle", () => {
    const shown = path.slice(0, mostNamed).map((_, step) => quote(name(step)));
    if (path.length > mostNamed) {
      shown.push(`${path.length - mostNamed} more`);
    }
    const others = size > path.length ? `; ${size} tasks in all are in circles with these` : "";
    return `tasks depend on each other: ${[...shown, quote(name(0))].join(" -> ")}${others}; remove a dependency`;
  });
}
