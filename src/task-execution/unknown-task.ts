import { LedgerError } from "../errors.ts";
import { createNearest } from "../flow/nearest.ts";

/** Finds the nearest task name, with a bound on the work for one batch. */
export type Suggest = (name: string, names: ReadonlyMap<string, unknown>) => string | undefined;

/** Returns a {@link Suggest} for one batch. */
export function createSuggest(): Suggest {
  const finders = new Map<ReadonlyMap<string, unknown>, (name: string) => string | undefined>();
  return (name, names) => {
    const find = finders.get(names) ?? createNearest(names.keys());
    finders.set(names, find);
    return find(name);
  };
}

/** Returns the error for a task that the flow version does not have. */
export function unknownTask(name: string, near: string | undefined): LedgerError {
  const description = `the flow version has no task ${JSON.stringify(name)}${
    near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`
  }`;
  return new LedgerError("TASK_NAME_UNKNOWN", `task_name: ${description}`, {
    metadata: { task_name: name, ...(near !== undefined && { nearest: near }) },
    violations: [{ field: "task_name", description }],
  });
}
