import { expect, test } from "vitest";
import { gather } from "../../src/dispatch/gather.ts";

test("names that are gathered are passed on together, each once, and those after them later", async () => {
  const passedOn: (readonly string[])[] = [];
  const add = gather(10, (names) => passedOn.push(names));
  for (const name of ["a", "b", "a", "a"]) add(name);
  expect(passedOn).toEqual([]);
  await expect.poll(() => passedOn).toEqual([["a", "b"]]);
  add("a");
  await expect.poll(() => passedOn).toEqual([["a", "b"], ["a"]]);
});
