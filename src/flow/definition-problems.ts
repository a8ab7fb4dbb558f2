/** Every kind of problem a definition can have. The names are part of the API: `DefinitionProblem.code`. */
export type ProblemCode =
  // What keeps the text from being read. Where one of these is found, nothing after it is checked.
  /** The text has more bytes than a definition may have. */
  | "too_large"
  /** Reading the text takes too long, or too much memory. */
  | "too_costly"
  /** A control character or half of a surrogate pair; or a name is not in Unicode normalization form C. */
  | "bad_characters"
  /** The text is not YAML 1.2. */
  | "yaml_syntax"
  /** Lists and maps stand too deep inside each other. */
  | "too_deep"
  /** The text holds nothing but white space and comments. */
  | "empty_document"

  // What YAML allows and a definition does not.
  /** The text holds a second YAML document; one text is one flow. Points at the second. */
  | "multiple_documents"
  /** A YAML tag such as `!!js/function`, or one that does not fit its value. */
  | "unknown_tag"
  /** An alias without an anchor of its name before it. */
  | "unknown_alias"
  /** All aliases together stand for more text than a definition may have. */
  | "alias_bomb"

  // What is not shaped like a flow.
  /** A map has the same key twice. Points at the second. */
  | "duplicate_key"
  /** A map has a key that means nothing here. */
  | "unknown_key"
  /** A map lacks a key that it must have. Points at the map. */
  | "missing_key"
  /** A value is not the text, list or map that it must be. */
  | "wrong_type"
  /** A text is empty or too long, or a flow has no task. */
  | "bad_length"
  /** A number is out of its bounds, or none that JSON has. */
  | "bad_number"
  /** A text is no duration, or one out of its bounds. */
  | "bad_duration"
  /** A text is none of those that are allowed. */
  | "bad_choice"
  /** An input schema is no JSON Schema. */
  | "bad_schema"
  /** A text in braces is no template. */
  | "bad_template"
  /** `{{item}}` or `{{item_index}}` in a task without `for_each`. */
  | "item_outside_loop"
  /** A flow has too many tasks. Points at the first too many. */
  | "too_many_tasks"

  // What does not fit together.
  /** Two tasks have the same name. Points at the second. */
  | "duplicate_name"
  /** A task depends on a task that the flow does not have, or a template refers to one. */
  | "unknown_task"
  /** A task depends on itself, or a template in it refers to itself. */
  | "self_dependency"
  /** A task names the same dependency twice. Points at the second. */
  | "duplicate_dependency"
  /** Tasks depend on each other. Once for each group of tasks that cannot be put in order. */
  | "cycle"

  /** There are more problems than are reported. Always the last; points at the first one left out. */
  | "too_many_problems";

/** One thing that is wrong with a definition. */
export interface Problem {
  /** Where in the document, such as `tasks[3].depends_on[0]`. Empty for the document as a whole. */
  readonly path: string;
  /** The line, from 1. */
  readonly line: number;
  /** The column, from 1, in UTF-16 units as most editors count. May be one past the end of the line. */
  readonly column: number;
  readonly code: ProblemCode;
  /** What is wrong and what to do, to be read after the path. One line of bounded length. */
  readonly message: string;
}
