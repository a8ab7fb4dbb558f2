import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Collection } from "../src/live/collection.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const set = (id: string) => ({ id, item: id });

test("changes that follow each other closely are shown together", () => {
  const collection = new Collection<string>();
  const listener = vi.fn();
  collection.subscribe(listener);
  collection.apply([set("a")]);
  collection.apply([set("b"), { id: "a", item: undefined }]);
  expect(listener).not.toHaveBeenCalled();
  vi.runAllTimers();
  expect(listener).toHaveBeenCalledTimes(1);
  expect(collection.state()).toEqual({ items: ["b"], isSynced: false });
});

test("while everything is told anew, what was there stays in sight until the new is complete", () => {
  const collection = new Collection<string>();
  collection.apply([set("a"), set("b")]);
  collection.sync();
  collection.restart();
  collection.apply([set("c")]);
  vi.runAllTimers();
  expect(collection.state().items).toEqual(["a", "b"]);
  collection.sync();
  expect(collection.state().items).toEqual(["c"]);
});

test("a run that is deleted takes all with it", () => {
  const collection = new Collection<string>();
  collection.apply([set("a"), set("b")]);
  collection.removeAll();
  vi.runAllTimers();
  expect(collection.state().items).toEqual([]);
});
