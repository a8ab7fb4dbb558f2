import type { EntityManager } from "@mikro-orm/postgresql";
import { LRUCache } from "lru-cache";
import { FlowVersion, tasksOf } from "./flow-version.entity.ts";
import type { TaskDefinition } from "./task-definition.ts";

/** How many tasks of flow versions are kept in memory, about 1 KB each. */
const keptTasks = 50_000;

/** A flow version in the form that runs need: what each task is, and what comes after what. */
export class FlowPlan {
  /** The tasks by name, in the order of the definition. */
  readonly tasks: ReadonlyMap<string, TaskDefinition>;
  readonly #dependents = new Map<string, string[]>();
  #order: ReadonlyMap<string, number> | undefined;

  constructor(tasks: readonly TaskDefinition[]) {
    this.tasks = new Map(tasks.map((task) => [task.name, task]));
    for (const { name, dependsOn } of tasks) {
      for (const upstream of dependsOn) {
        const dependents = this.#dependents.get(upstream);
        if (dependents) dependents.push(name);
        else this.#dependents.set(upstream, [name]);
      }
    }
  }

  /** Returns the tasks that depend on a task directly. */
  dependentsOf(name: string): readonly string[] {
    return this.#dependents.get(name) ?? [];
  }

  /** Returns every task that comes after one of the given, directly or not, without these; each once. */
  downstreamOf(names: Iterable<string>): Set<string> {
    const found = new Set(names);
    const given = found.size;
    // A set may grow while it is walked, and is walked to its new end.
    for (const name of found) {
      for (const dependent of this.dependentsOf(name)) {
        found.add(dependent);
      }
    }
    return new Set([...found].slice(given));
  }

  /** Sorts names so that each comes after all it depends on. */
  sort(names: Iterable<string>): string[] {
    this.#order ??= this.#findOrder();
    const order = this.#order;
    return [...names].sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0));
  }

  #findOrder(): ReadonlyMap<string, number> {
    const waitsFor = new Map([...this.tasks].map(([name, { dependsOn }]) => [name, dependsOn.length]));
    const order = new Map<string, number>();
    const ready = [...this.tasks.keys()].filter((name) => waitsFor.get(name) === 0);
    for (const name of ready) {
      order.set(name, order.size);
      for (const dependent of this.dependentsOf(name)) {
        const left = waitsFor.get(dependent)! - 1;
        waitsFor.set(dependent, left);
        if (left === 0) ready.push(dependent);
      }
    }
    return order;
  }
}

/** Which flow version is asked for. */
export interface FlowVersionKey {
  readonly flowId: string;
  readonly flowVersion: number;
}

/** Knows the plans of flow versions, which never change and so are kept in memory. */
export class FlowPlans {
  readonly #plans = new LRUCache<string, FlowPlan>({
    maxSize: keptTasks,
    sizeCalculation: (plan) => plan.tasks.size + 1,
    maxEntrySize: keptTasks,
  });

  /** Returns the plan of a flow version of the organization of an EntityManager. */
  async of(
    em: EntityManager,
    organizationId: string,
    { flowId, flowVersion }: FlowVersionKey,
  ): Promise<FlowPlan> {
    const key = `${organizationId}/${flowId}/${flowVersion}`;
    let plan = this.#plans.get(key);
    if (plan === undefined) {
      const version = await em.findOneOrFail(
        FlowVersion,
        { flowId, version: flowVersion },
        { populate: ["tasks"] },
      );
      plan = new FlowPlan(tasksOf(version));
      this.#plans.set(key, plan);
    }
    return plan;
  }
}
