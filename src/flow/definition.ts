import { findTaskLevels } from "./definition-dependencies.ts";
import type { Problem } from "./definition-problems.ts";
import { type FlowDraft, readFlow } from "./definition-reader.ts";
import { ProblemList } from "./problem-list.ts";
import { readYaml } from "./yaml-tree.ts";

/** A flow, as its definition says. */
export interface Definition {
  readonly name: string;
  /** Empty unless the definition has one. */
  readonly description: string;
  /** In the order of the definition. */
  readonly tasks: readonly TaskDefinition[];
}

/** One task of a flow. */
export interface TaskDefinition {
  /** Unique in the flow. Case counts. */
  readonly name: string;
  /** What kind of worker can do it: the name, unless the definition says otherwise. */
  readonly executor: string;
  /** The names of the tasks that come before it, in the order of the definition. */
  readonly dependsOn: readonly string[];
}

/** What a definition says, or all that is wrong with it. */
export type ParsedDefinition =
  | {
      readonly definition: Definition;
      /** The names of the tasks; each stands in the first level after all it depends on. */
      readonly levels: readonly (readonly string[])[];
      readonly problems: readonly [];
    }
  | { readonly definition?: undefined; readonly problems: readonly Problem[] };

/**
 * Parses a flow definition: YAML 1.2, a map with `name`, `description` and `tasks`, each of which is a map with
 * `name`, `executor` and `depends_on`.
 *
 * Never throws: whatever is wrong is in the problems, by position, all at once. Only what keeps the text from
 * being read as YAML comes alone. Takes time in proportion to the text, and nothing else runs meanwhile: 60 ms
 * for 1,300 tasks in 200 KB, up to two seconds for the 1 MiB that are worst for the YAML parser.
 */
export function parseDefinition(text: string): ParsedDefinition {
  const problems = new ProblemList(text);
  const tree = readYaml(text, problems);
  const draft = tree && readFlow(tree, problems);
  const levels = draft && findTaskLevels(draft.tasks, problems);
  return levels
    ? { definition: toDefinition(draft), levels, problems: [] }
    : { problems: problems.toProblems() };
}

/** Converts a draft without problems: all that a flow must have is there. */
function toDefinition({ name, description, tasks }: FlowDraft): Definition {
  return {
    name: name!.text,
    description: description?.text ?? "",
    tasks: tasks.map(({ name, executor, dependsOn }) => ({
      name: name!.text,
      executor: executor?.text ?? name!.text,
      dependsOn: dependsOn.map(({ text }) => text),
    })),
  };
}
