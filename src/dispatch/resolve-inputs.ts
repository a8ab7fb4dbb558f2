import { LedgerError } from "../errors.ts";
import type { TaskDefinition } from "../flow/task-definition.ts";
import { fromJson, toPayloadText } from "../payload/payload.ts";
import type { RunRecord } from "../task-execution/run-statements.ts";
import type { Workspace } from "../task-execution/workspace.ts";
import type { Json } from "../template/json.ts";
import { inspect, resolve, type Scope, TemplateError } from "../template/template.ts";
import { errorText } from "./decide-work.ts";
import { findOutputs, findRunInput } from "./output-statements.ts";

/** How many bytes the inputs of all items of one loop may have together. */
const mostLoopBytes = 64 * 1_048_576;

/** What a task is asked, as canonical JSON text, null for nothing; or why that cannot be said. */
export type Resolved = { readonly input: string | null } | { readonly error: string };

/** What a task that is ready becomes: one record, or one for each item of a list. */
export type Expansion =
  | ({ readonly kind: "task" } & Resolved)
  | { readonly kind: "loop"; readonly items: readonly Resolved[] };

/** Loads what the templates of some tasks refer to, and returns what says what a task becomes. */
export async function createResolver(
  work: Workspace,
  run: RunRecord,
  tasks: readonly TaskDefinition[],
): Promise<(task: TaskDefinition) => Expansion> {
  const upstreams = new Set<string>();
  let needsInput = false;
  for (const task of tasks) {
    for (const { root } of referencesOf(task)) {
      if (root.kind === "task") upstreams.add(root.name);
      needsInput ||= root.kind === "input";
    }
  }
  const { em, organizationId } = work;
  const outputs = await findOutputs(em, organizationId, run.id, [...upstreams]);
  const input = needsInput ? await findRunInput(em, organizationId, run.id) : undefined;
  const scope: Scope = { input, output: (name) => outputs.get(name) };
  return (task) => expand(task, scope);
}

function referencesOf({ input, forEach }: TaskDefinition) {
  return inspect([input ?? null, forEach ?? null]).references;
}

function expand(task: TaskDefinition, scope: Scope): Expansion {
  if (task.forEach === undefined) {
    return { kind: "task", ...resolveInput(task, scope) };
  }
  const list = attempt(() => resolve(task.forEach as Json, scope));
  if ("error" in list) {
    return { kind: "task", error: list.error };
  }
  const { value } = list;
  if (!Array.isArray(value)) {
    return { kind: "task", error: invalid(`for_each: ${task.forEach} is no list`) };
  }
  let bytes = 0;
  const items: Resolved[] = [];
  for (const [itemIndex, item] of (value as readonly Json[]).entries()) {
    const resolved = resolveInput(task, { ...scope, item, itemIndex });
    bytes += "input" in resolved ? (resolved.input?.length ?? 0) : 0;
    if (bytes > mostLoopBytes) {
      return {
        kind: "task",
        error: invalid(`the inputs of the items together are larger than ${mostLoopBytes} bytes`),
      };
    }
    items.push(resolved);
  }
  return { kind: "loop", items };
}

function resolveInput({ input }: TaskDefinition, scope: Scope): Resolved {
  if (input === undefined) {
    // An item of a loop is what it is about, unless the definition says otherwise.
    return { input: scope.item === undefined ? null : toPayloadText(fromJson(scope.item), "input") };
  }
  const resolved = attempt(() => toPayloadText(fromJson(resolve(input, scope)), "input"));
  return "error" in resolved ? resolved : { input: resolved.value };
}

/** Whatever is wrong with a template or what it gives is a failure of the task, so that the run does not hang. */
function attempt<T>(make: () => T): { readonly value: T } | { readonly error: string } {
  try {
    return { value: make() };
  } catch (error) {
    if (error instanceof TemplateError || error instanceof LedgerError) {
      return { error: invalid(error.message) };
    }
    throw error;
  }
}

function invalid(message: string): string {
  return errorText("InvalidInput", message);
}
