import type { Json } from "../template/json.ts";
import { scan } from "../template/scanner.ts";
import { inspect } from "../template/template.ts";
import { type Place, type ProblemList, quote } from "./problem-list.ts";
import type { JsonValue } from "./yaml-json.ts";
import type { Text } from "./yaml-reader.ts";

/** The parts of a task that templates stand in. */
interface Templated {
  readonly input: JsonValue | undefined;
  readonly forEach: Text | undefined;
  readonly isLoop: boolean;
}

/** Checks the templates of a task, and returns the tasks that they refer to, each once, where they do. */
export function readTemplates({ input, forEach, isLoop }: Templated, problems: ProblemList): Text[] {
  const implied = new Map<string, Text>();
  if (forEach !== undefined) {
    const place = () => forEach;
    collect(forEach.text, place, { isLoop: false, implied }, problems);
    const scanned = scan(forEach.text);
    if ("parts" in scanned && (scanned.parts.length !== 1 || typeof scanned.parts[0] === "string")) {
      problems.add(
        forEach,
        "bad_template",
        () => `must be one template of a list, such as "{{task.output.items}}"`,
      );
    }
  }
  if (input !== undefined) {
    const place = (at: readonly (string | number)[]) => input.places.get(JSON.stringify(at)) ?? input;
    collect(input.json, place, { isLoop, implied }, problems);
  }
  return [...implied.values()];
}

function collect(
  value: Json,
  placeOf: (at: readonly (string | number)[]) => Place,
  { isLoop, implied }: { readonly isLoop: boolean; readonly implied: Map<string, Text> },
  problems: ProblemList,
): void {
  const { references, faults } = inspect(value);
  for (const { message, at } of faults) {
    problems.add(placeOf(at), "bad_template", () => message);
  }
  for (const { root, source, at } of references) {
    const { offset, path } = placeOf(at);
    if (root.kind === "task" && !implied.has(root.name)) {
      implied.set(root.name, { text: root.name, offset, path });
    }
    if ((root.kind === "item" || root.kind === "item_index") && !isLoop) {
      problems.add(
        { offset, path },
        "item_outside_loop",
        () => `${quote(source)} stands for an item of for_each, which is not given here`,
      );
    }
  }
}
