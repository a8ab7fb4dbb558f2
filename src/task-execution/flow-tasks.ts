import type { EntityManager } from "@mikro-orm/postgresql";
import { LRUCache } from "lru-cache";
import { LedgerError } from "../errors.ts";
import { FlowVersion, tasksOf } from "../flow/flow-version.entity.ts";
import { createNearest } from "../flow/nearest.ts";
import type { RunRecord } from "./write-statements.ts";

/** Knows the task names of flow versions, which never change and so are kept in memory, 1000 versions at most. */
export class FlowTasks {
  readonly names = new LRUCache<string, ReadonlySet<string>>({ max: 1000 });

  /** Returns the names of the tasks of the flow version that a run is of. */
  async of(
    em: EntityManager,
    organizationId: string,
    { flowId, flowVersion }: RunRecord,
  ): Promise<ReadonlySet<string>> {
    const key = `${organizationId}/${flowId}/${flowVersion}`;
    let names = this.names.get(key);
    if (names === undefined) {
      const version = await em.findOneOrFail(
        FlowVersion,
        { flowId, version: flowVersion },
        { populate: ["tasks"] },
      );
      names = new Set(tasksOf(version).map(({ name }) => name));
      this.names.set(key, names);
    }
    return names;
  }
}

/** Finds the nearest task name, with a bound on the work for one batch. */
export type Suggest = (name: string, names: ReadonlySet<string>) => string | undefined;

/** Returns a {@link Suggest} for one batch. */
export function createSuggest(): Suggest {
  const finders = new Map<ReadonlySet<string>, (name: string) => string | undefined>();
  return (name, names) => {
    const find = finders.get(names) ?? createNearest(names);
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
