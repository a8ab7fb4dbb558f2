import type { Json } from "../template/json.ts";
import { findTaskLevels } from "./definition-dependencies.ts";
import type { Problem } from "./definition-problems.ts";
import { type FlowDraft, readFlow } from "./definition-reader.ts";
import { ProblemList } from "./problem-list.ts";
import { type TaskDefinition, taskDefaults } from "./task-definition.ts";
import { readYaml } from "./yaml-tree.ts";

/** A flow, as its definition says. */
export interface Definition {
  readonly name: string;
  /** Empty unless the definition has one. */
  readonly description: string;
  /** In the order of the definition. */
  readonly tasks: readonly TaskDefinition[];
  /** The JSON Schema that the input of a run has to match. */
  readonly inputSchema: Json | undefined;
}

/** What a definition says, or all that is wrong with it. */
export type ParsedDefinition =
  | {
      readonly definition: Definition;
      /** The names of the tasks; each stands in the first level after all it depends on. */
      readonly levels: readonly (readonly string[])[];
      /** Where the input_schema stands, if there is one. */
      readonly schemaPosition: Position | undefined;
      readonly problems: readonly [];
    }
  | { readonly definition?: undefined; readonly problems: readonly Problem[] };

/** A place in the text, from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/**
 * Parses a flow definition: YAML 1.2, a map with `name`, `description`, `input_schema` and `tasks`, each of which
 * is a map with `name` and what {@link TaskDefinition} says. That `input_schema` is a JSON Schema is not checked.
 *
 * Never throws: whatever is wrong is in the problems, by position, all at once. Only what keeps the text from
 * being read as YAML comes alone. Takes time in proportion to the text: 60 ms for 1,300 tasks in 200 KB, some
 * seconds for the 1 MiB that are worst for the YAML parser; so large texts are parsed in a thread of their own.
 */
export function parseDefinition(text: string): ParsedDefinition {
  const problems = new ProblemList(text);
  const tree = readYaml(text, problems);
  const draft = tree && readFlow(tree, problems);
  const levels = draft && findTaskLevels(draft.tasks, problems);
  if (!levels) {
    return { problems: problems.toProblems() };
  }
  const { inputSchema } = draft;
  const schemaPosition = inputSchema && problems.positionOf(inputSchema.offset);
  return { definition: toDefinition(draft), levels, schemaPosition, problems: [] };
}

/** Converts a draft without problems: all that a flow must have is there. */
function toDefinition({ name, description, tasks, inputSchema }: FlowDraft): Definition {
  return {
    name: name!.text,
    description: description?.text ?? "",
    inputSchema: inputSchema?.json,
    tasks: tasks.map((task) => ({
      name: task.name!.text,
      executor: task.executor?.text ?? task.name!.text,
      dependsOn: [
        ...new Set([...task.dependsOn.map(({ text }) => text), ...task.implied.map(({ text }) => text)]),
      ],
      ...(task.input !== undefined && { input: task.input.json }),
      ...(task.forEach !== undefined && { forEach: task.forEach.text }),
      retry: { ...taskDefaults.retry, ...task.retry },
      ...(task.timeoutMs !== undefined && { timeoutMs: task.timeoutMs }),
      leaseMs: task.leaseMs ?? taskDefaults.leaseMs,
      onFailure: task.onFailure ?? taskDefaults.onFailure,
    })),
  };
}
