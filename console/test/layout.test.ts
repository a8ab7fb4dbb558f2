import { expect, test } from "vitest";
import { edgeId, layOut, nodeSize } from "../src/run/layout.ts";

const task = (name: string, ...dependsOn: string[]) => ({ name, dependsOn });

test("a task stands to the right of all it depends on, or below them", () => {
  const tasks = [
    task("last", "left", "right", "first"),
    task("left", "first"),
    task("right", "first"),
    task("first"),
  ];
  for (const [direction, axis] of [
    ["right", "x"],
    ["down", "y"],
  ] as const) {
    const { places } = layOut(tasks, direction);
    for (const { name, dependsOn } of tasks) {
      for (const upstream of dependsOn) {
        expect(places.get(name)![axis]).toBeGreaterThan(places.get(upstream)![axis]);
      }
    }
  }
});

test("no two tasks overlap, and no line that passes by a level runs over a task", () => {
  const tasks = [
    task("a"),
    task("b"),
    ...Array.from({ length: 6 }, (_, index) => task(`middle-${index}`, "a")),
    task("end", "b", ...Array.from({ length: 6 }, (_, index) => `middle-${index}`)),
  ];
  const { places, waypoints } = layOut(tasks, "right");
  const passed = waypoints.get(edgeId("b", "end"))!;
  expect(passed).toHaveLength(1);
  const boxes = [...tasks.map(({ name }) => places.get(name)!), ...passed];
  for (const [index, box] of boxes.entries()) {
    for (const other of boxes.slice(index + 1)) {
      const apart =
        Math.abs(box.x - other.x) >= nodeSize.width || Math.abs(box.y - other.y) >= nodeSize.height;
      expect(apart, `${JSON.stringify(box)} and ${JSON.stringify(other)}`).toBe(true);
    }
  }
});

test("two chains side by side do not cross", () => {
  const tasks = [
    task("a1"),
    task("b1"),
    task("b2", "b1"),
    task("a2", "a1"),
    task("a3", "a2"),
    task("b3", "b2"),
  ];
  const { places } = layOut(tasks, "right");
  const isAbove = (level: number) => places.get(`a${level}`)!.y < places.get(`b${level}`)!.y;
  expect([isAbove(2), isAbove(3)]).toEqual([isAbove(1), isAbove(1)]);
});

test("ten times as many tasks take about ten times as long to lay out", () => {
  const timeOf = (count: number) => {
    const tasks = Array.from({ length: count }, (_, index) =>
      index < 100 ? task(`t${index}`) : task(`t${index}`, `t${index - 100}`, `t${index - 1 - (index % 100)}`),
    );
    const times = Array.from({ length: 5 }, () => {
      const start = performance.now();
      expect(layOut(tasks, "right").places.size).toBeGreaterThanOrEqual(count);
      return performance.now() - start;
    });
    return Math.min(...times);
  };
  expect(timeOf(10_000) / timeOf(1000)).toBeLessThan(40);
});

test("a circle does not hang the page", () => {
  expect(layOut([task("a", "b"), task("b", "a")], "down").places.size).toBe(2);
});
