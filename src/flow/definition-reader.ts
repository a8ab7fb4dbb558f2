import { findNameFault, findTextFault } from "./characters.ts";
import { definitionLimits } from "./definition-limits.ts";
import { readTemplates } from "./definition-templates.ts";
import type { ProblemList } from "./problem-list.ts";
import type { OnFailure, RetryPolicy } from "./task-definition.ts";
import type { Value } from "./yaml-aliases.ts";
import type { JsonValue } from "./yaml-json.ts";
import { type Text, type TextRule, YamlReader } from "./yaml-reader.ts";
import type { YamlTree } from "./yaml-tree.ts";

/** A flow as it was written. What could not be read is missing. */
export interface FlowDraft {
  readonly name: Text | undefined;
  readonly description: Text | undefined;
  readonly inputSchema: JsonValue | undefined;
  readonly tasks: readonly TaskDraft[];
}

/** A task as it was written: what it depends on has not been looked up yet. */
export interface TaskDraft {
  readonly name: Text | undefined;
  readonly executor: Text | undefined;
  readonly dependsOn: readonly Text[];
  /** The tasks that its templates refer to, each at the text that does. */
  readonly implied: readonly Text[];
  readonly input: JsonValue | undefined;
  readonly forEach: Text | undefined;
  readonly retry: Partial<RetryPolicy>;
  readonly timeoutMs: number | undefined;
  readonly leaseMs: number | undefined;
  readonly onFailure: OnFailure | undefined;
}

const flowKeys = {
  name: "required",
  description: "optional",
  input_schema: "optional",
  tasks: "required",
} as const;
const taskKeys = {
  name: "required",
  executor: "optional",
  depends_on: "optional",
  input: "optional",
  for_each: "optional",
  retry: "optional",
  timeout: "optional",
  lease: "optional",
  on_failure: "optional",
} as const;
const retryKeys = {
  max_attempts: "optional",
  initial_backoff: "optional",
  multiplier: "optional",
  max_backoff: "optional",
  non_retryable: "optional",
} as const;

/** The keys that a definition may have, of whatever part of it. */
export const fieldNames = [flowKeys, taskKeys, retryKeys].flatMap((keys) => Object.keys(keys));

const nameRule: TextRule = { min: 1, max: definitionLimits.name, findFault: findNameFault };
const descriptionRule: TextRule = { min: 0, max: definitionLimits.description, findFault: findTextFault };
const errorTypeRule: TextRule = { min: 1, max: definitionLimits.errorType, findFault: findTextFault };

/** Reads a tree as a flow. It goes no deeper than a flow does, whatever the tree is. */
export function readFlow(tree: YamlTree, problems: ProblemList): FlowDraft {
  const reader = new YamlReader(tree, problems);
  const fields = reader.readMap(reader.root, flowKeys);
  const tasks = fields.get("tasks");
  return {
    name: ifThere(fields.get("name"), (value) => reader.readText(value, nameRule)),
    description: ifThere(fields.get("description"), (value) => reader.readText(value, descriptionRule)),
    inputSchema: ifThere(fields.get("input_schema"), (value) => reader.readJson(value)),
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
  return items?.map((item) => readTask(reader, item, problems)) ?? [];
}

function readTask(reader: YamlReader, value: Value, problems: ProblemList): TaskDraft {
  const fields = reader.readMap(value, taskKeys);
  const field = <T>(key: keyof typeof taskKeys, read: (value: Value) => T) => ifThere(fields.get(key), read);
  const items = field("depends_on", (list) =>
    reader.readList(list, "a list of task names, such as [extract, load]"),
  );
  const input = field("input", (any) => reader.readJson(any));
  const forEach = field("for_each", (text) => reader.readText(text));
  return {
    name: field("name", (text) => reader.readText(text, nameRule)),
    executor: field("executor", (text) => reader.readText(text, nameRule)),
    dependsOn: items?.map((item) => reader.readText(item)).filter((item) => item !== undefined) ?? [],
    implied: readTemplates({ input, forEach, isLoop: fields.has("for_each") }, problems),
    input,
    forEach,
    retry: field("retry", (map) => readRetry(reader, map, problems)) ?? {},
    timeoutMs: field("timeout", (text) => reader.readDuration(text, definitionLimits.timeoutMs)),
    leaseMs: field("lease", (text) => reader.readDuration(text, definitionLimits.leaseMs)),
    onFailure: field("on_failure", (text) => reader.readChoice(text, ["fail", "continue"])),
  };
}

function readRetry(reader: YamlReader, value: Value, problems: ProblemList): Partial<RetryPolicy> {
  const fields = reader.readMap(value, retryKeys);
  const field = <T>(key: keyof typeof retryKeys, read: (value: Value) => T) => ifThere(fields.get(key), read);
  const backoff = (text: Value) => reader.readDuration(text, definitionLimits.backoffMs);
  const types = field("non_retryable", (list) => reader.readList(list, "a list of error types"));
  if (types !== undefined && types.length > definitionLimits.errorTypes) {
    const { errorTypes: limit } = definitionLimits;
    problems.add(value, "bad_length", () => `${types.length} error types are more than ${limit}`);
  }
  const read = {
    maxAttempts: field("max_attempts", (number) =>
      reader.readNumber(number, { ...definitionLimits.attempts, isInteger: true }),
    ),
    initialBackoffMs: field("initial_backoff", backoff),
    multiplier: field("multiplier", (number) =>
      reader.readNumber(number, { ...definitionLimits.multiplier, isInteger: false }),
    ),
    maxBackoffMs: field("max_backoff", backoff),
    nonRetryable: types
      ?.map((type) => reader.readText(type, errorTypeRule)?.text)
      .filter((type) => type !== undefined),
  };
  return Object.fromEntries(Object.entries(read).filter(([, member]) => member !== undefined));
}

function ifThere<T>(value: Value | undefined, read: (value: Value) => T): T | undefined {
  return value && read(value);
}
