import { findNameFault, findTextFault } from "./characters.ts";
import { definitionLimits } from "./definition-limits.ts";
import type { ProblemList } from "./problem-list.ts";
import type { Value } from "./yaml-aliases.ts";
import { type Text, type TextRule, YamlReader } from "./yaml-reader.ts";
import type { YamlTree } from "./yaml-tree.ts";

/** A flow as it was written. What could not be read is missing. */
export interface FlowDraft {
  readonly name: Text | undefined;
  readonly description: Text | undefined;
  readonly tasks: readonly TaskDraft[];
}

/** A task as it was written: what it depends on has not been looked up yet. */
export interface TaskDraft {
  readonly name: Text | undefined;
  readonly executor: Text | undefined;
  readonly dependsOn: readonly Text[];
}

const flowKeys = { name: "required", description: "optional", tasks: "required" } as const;
const taskKeys = { name: "required", executor: "optional", depends_on: "optional" } as const;

const nameRule: TextRule = { min: 1, max: definitionLimits.name, findFault: findNameFault };
const descriptionRule: TextRule = { min: 0, max: definitionLimits.description, findFault: findTextFault };

/** Reads a tree as a flow. It goes no deeper than a flow does, whatever the tree is. */
export function readFlow(tree: YamlTree, problems: ProblemList): FlowDraft {
  const reader = new YamlReader(tree, problems);
  const fields = reader.readMap(reader.root, flowKeys);
  const text = (key: keyof typeof flowKeys, rule: TextRule) => readIfThere(reader, fields.get(key), rule);
  const tasks = fields.get("tasks");
  return {
    name: text("name", nameRule),
    description: text("description", descriptionRule),
    tasks: tasks ? readTasks(reader, tasks, problems) : [],
  };
}

function readTasks(reader: YamlReader, value: Value, problems: ProblemList): TaskDraft[] {
  const items = reader.readList(value, "a list of tasks, each a map with a name");
  if (items?.length === 0) {
    problems.add(value, "bad_length", () => "is empty; a flow has at least one task");
  }
  const tooMany = items?.[definitionLimits.tasks];
  if (items && tooMany) {
    const { tasks: limit } = definitionLimits;
    problems.add(
      tooMany,
      "too_many_tasks",
      () => `${items.length} tasks are more than ${limit}; split the flow`,
    );
  }
  return items?.map((item) => readTask(reader, item)) ?? [];
}

function readTask(reader: YamlReader, value: Value): TaskDraft {
  const fields = reader.readMap(value, taskKeys);
  const dependsOn = fields.get("depends_on");
  const items = dependsOn && reader.readList(dependsOn, "a list of task names, such as [extract, load]");
  return {
    name: readIfThere(reader, fields.get("name"), nameRule),
    executor: readIfThere(reader, fields.get("executor"), nameRule),
    dependsOn: items?.map((item) => reader.readText(item)).filter((item) => item !== undefined) ?? [],
  };
}

function readIfThere(reader: YamlReader, value: Value | undefined, rule: TextRule): Text | undefined {
  return value && reader.readText(value, rule);
}
