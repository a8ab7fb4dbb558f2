import { expect, test } from "vitest";
import { createNearest, nearest } from "../../src/flow/nearest.ts";

test.each([
  ["extrct", ["load", "extract"], "extract"],
  ["lod", ["lid", "load"], "lid"],
  ["depend_on", ["name", "executor", "depends_on"], "depends_on"],
  ["EXTRACT", ["extract"], "extract"],
  ["Y", ["x", "y"], "y"],
  ["cafe\u0301", ["café"], "café"],
  ["transfomr.dialy", ["transform.daily.2", "transform.daily"], "transform.daily"],
])("%j most likely means what is near it", (name, candidates, meant) => {
  expect(nearest(name, candidates)).toBe(meant);
});

test.each([
  ["a", ["b"]],
  ["lo", ["hi"]],
  ["load", ["save", "lint"]],
  ["extract", ["transform", "publish"]],
  ["", ["a", "bc"]],
  ["anything", []],
  ["a very long name that begins as another one does", ["a very long name that begins as others do"]],
])("%j is near nothing that is not", (name, candidates) => {
  expect(nearest(name, candidates)).toBeUndefined();
});

test("the nearest wins, and the first of equally near ones", () => {
  expect(nearest("transform", ["transfers", "transforms", "transformx"])).toBe("transforms");
});

test("a candidate named like a property of every object is a candidate", () => {
  expect(nearest("__proto_", ["constructor", "__proto__"])).toBe("__proto__");
});

test("a finder gives up once its work is used up, and not before", () => {
  const similar = Array.from({ length: 10_000 }, (_, index) => `${"x".repeat(195)}${10_000 + index}`);
  const find = createNearest(similar);
  const typo = similar[7]!.replace("x", "y");
  expect(find(typo)).toBe(similar[7]);
  for (let call = 0; call < 10; call++) {
    expect(find("x".repeat(200))).toBeUndefined();
  }
  expect(find(typo)).toBeUndefined();
});

test("no two texts are long enough to hold up the caller", () => {
  expect(nearest("x".repeat(500_000), ["x".repeat(499_999)])).toBeUndefined();
});
