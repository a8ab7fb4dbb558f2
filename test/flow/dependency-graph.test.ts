import fc from "fast-check";
import { expect, test } from "vitest";
import { findCircles, findLevels } from "../../src/flow/dependency-graph.ts";

test("a graph without edges is one level, in order", () => {
  expect(findLevels([[], [], []])).toEqual([[0, 1, 2]]);
  expect(findCircles([[], [], []])).toEqual([]);
});

test("a node stands in the first level after all it depends on", () => {
  expect(findLevels([[], [0], [0], [1, 2], [0, 3], []])).toEqual([[0, 5], [1, 2], [3], [4]]);
});

test("a level is in order, whatever made its nodes ready first", () => {
  expect(findLevels([[3], [2], [], []])).toEqual([
    [2, 3],
    [0, 1],
  ]);
});

test("nodes in a circle, and those behind it, are in no level", () => {
  expect(findLevels([[], [2], [1, 0], [2]])).toEqual([[0]]);
});

test("circles that do not depend on each other are told apart", () => {
  expect(findCircles([[1], [0], [1, 3], [4], [2], [4]])).toEqual([
    { path: [0, 1], size: 2 },
    { path: [2, 3, 4], size: 3 },
  ]);
});

test("of circles that share nodes the shortest way from the first node is told, and how many nodes there are", () => {
  expect(findCircles([[1], [2, 0], [3], [0]])).toEqual([{ path: [0, 1], size: 4 }]);
});

test("a long chain and a long circle overflow no stack", () => {
  const length = 100_000;
  const chain = Array.from({ length }, (_, node) => (node === 0 ? [] : [node - 1]));
  expect(findLevels(chain)).toHaveLength(length);
  expect(findCircles(chain)).toEqual([]);
  const [circle] = findCircles(chain.with(0, [length - 1]));
  expect(circle).toMatchObject({ size: length });
  expect(circle?.path.slice(0, 3)).toEqual([0, length - 1, length - 2]);
});

test("a lattice with 2^300 paths takes no longer than its edges", () => {
  const graph = Array.from({ length: 600 }, (_, node) =>
    node < 2 ? [] : [node - (node % 2) - 2, node - (node % 2) - 1],
  );
  expect(findLevels(graph)).toHaveLength(300);
  expect(findCircles(graph)).toEqual([]);
});

/** Any graph without edges from a node to itself, and without an edge twice. */
const graphs = fc
  .integer({ min: 1, max: 12 })
  .chain((size) =>
    fc
      .array(fc.uniqueArray(fc.nat(size - 1), { maxLength: 3 }), { minLength: size, maxLength: size })
      .map((graph) =>
        graph.map((dependencies, node) => dependencies.filter((dependency) => dependency !== node)),
      ),
  );

test("either all nodes are in levels, or there is a circle", () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      expect(findLevels(graph).flat().length === graph.length).toBe(findCircles(graph).length === 0);
    }),
  );
});

test("the circles are the groups of nodes that reach each other, as a search from each node finds them", () => {
  const reach = (graph: readonly (readonly number[])[], start: number) => {
    const reached = new Set<number>();
    for (const queue = [start]; queue.length > 0; ) {
      for (const node of graph[queue.pop()!]!.filter((node) => !reached.has(node))) {
        reached.add(node);
        queue.push(node);
      }
    }
    return reached;
  };
  fc.assert(
    fc.property(graphs, (graph) => {
      const reached = graph.map((_, node) => reach(graph, node));
      const groups = graph
        .map((_, node) =>
          [...reached[node]!].filter((other) => reached[other]!.has(node)).sort((a, b) => a - b),
        )
        .filter((group, node) => group[0] === node);
      const circles = findCircles(graph);
      expect(circles.map(({ path, size }) => [path[0], size])).toEqual(
        groups.map((group) => [group[0], group.length]),
      );
      for (const { path } of circles) {
        expect(new Set(path).size).toBe(path.length);
        path.forEach((node, step) => {
          expect(graph[node]).toContain(path[(step + 1) % path.length]);
        });
      }
    }),
  );
});
