/** For each node, the nodes it depends on. */
export type DependencyGraph = readonly (readonly number[])[];

/** Nodes that all depend on each other, directly or not. */
interface Circle {
  /** One way around, as short as there is from its first node: each depends on the next, the last on the first. */
  readonly path: readonly number[];
  /** How many nodes depend on each other; as many as the path has, or more. */
  readonly size: number;
}

/**
 * Returns the nodes in levels: each stands in the first level that comes after all it depends on.
 *
 * Nodes in a circle, and those that depend on one, are in no level. Takes linear time and no recursion.
 */
export function findLevels(graph: DependencyGraph): number[][] {
  const dependents = graph.map((): number[] => []);
  const waitsFor = graph.map((dependencies, node) => {
    for (const dependency of dependencies) {
      dependents[dependency]!.push(node);
    }
    return dependencies.length;
  });
  const levels: number[][] = [];
  let level = [...graph.keys()].filter((node) => waitsFor[node] === 0);
  while (level.length > 0) {
    levels.push(level);
    const ready: number[] = [];
    for (const dependent of level.flatMap((node) => dependents[node]!)) {
      waitsFor[dependent]!--;
      if (waitsFor[dependent] === 0) {
        ready.push(dependent);
      }
    }
    level = ready.sort((a, b) => a - b);
  }
  return levels;
}

/**
 * Returns the circles by their first nodes, one for each group of nodes that depend on each other.
 *
 * Takes linear time and no recursion.
 */
export function findCircles(graph: DependencyGraph): Circle[] {
  const components = findComponents(graph).filter((component) => component.length > 1);
  const componentOf = new Map(components.flatMap((component) => component.map((node) => [node, component])));
  return components
    .map((component) => {
      const first = component.reduce((a, b) => Math.min(a, b));
      const isInside = (node: number) => componentOf.get(node) === component;
      return { path: findWayAround(graph, first, isInside), size: component.length };
    })
    .sort((a, b) => a.path[0]! - b.path[0]!);
}

/** Returns the strongly connected components, by Tarjan's algorithm with a stack of its own. */
function findComponents(graph: DependencyGraph): number[][] {
  const components: number[][] = [];
  const open: number[] = [];
  const isOpen = new Set<number>();
  const order = new Map<number, number>();
  const low = new Map<number, number>();
  const lower = (node: number, value: number) => low.set(node, Math.min(low.get(node)!, value));

  for (const root of graph.keys()) {
    const path: { node: number; next: number }[] = [];
    const enter = (node: number) => {
      order.set(node, order.size);
      low.set(node, order.get(node)!);
      open.push(node);
      isOpen.add(node);
      path.push({ node, next: 0 });
    };
    if (!order.has(root)) {
      enter(root);
    }
    for (let step = path.at(-1); step; step = path.at(-1)) {
      const { node } = step;
      const dependency = graph[node]![step.next++];
      if (dependency !== undefined) {
        if (!order.has(dependency)) {
          enter(dependency);
        } else if (isOpen.has(dependency)) {
          lower(node, order.get(dependency)!);
        }
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent) {
        lower(parent.node, low.get(node)!);
      }
      if (low.get(node) === order.get(node)) {
        const component = open.splice(open.lastIndexOf(node));
        for (const member of component) {
          isOpen.delete(member);
        }
        components.push(component);
      }
    }
  }
  return components;
}

/** Returns the shortest way from a node along its dependencies back to it, by breadth-first search. */
function findWayAround(graph: DependencyGraph, start: number, isInside: (node: number) => boolean): number[] {
  const cameFrom = new Map<number, number>();
  const queue = [start];
  for (const node of queue) {
    for (const dependency of graph[node]!.filter(isInside)) {
      if (dependency === start) {
        const way: number[] = [];
        for (let at: number | undefined = node; at !== undefined; at = cameFrom.get(at)) {
          way.push(at);
        }
        return way.reverse();
      }
      if (!cameFrom.has(dependency)) {
        cameFrom.set(dependency, node);
        queue.push(dependency);
      }
    }
  }
  return [start];
}
