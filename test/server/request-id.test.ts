import { expect, test } from "vitest";
import { toRequestId } from "../../src/server/request-id.ts";

const newId = () => "new";

test.each(["a", "8f14e45f-ceea-4672-b1c4-0d8a1d5f6c11", "trace.1_2-3", "x".repeat(64)])("keeps %s", (id) => {
  expect(toRequestId(id, newId)).toBe(id);
});

test.each([null, undefined, "", "x".repeat(65), "a b", "a\nb", "a,b", "ä", '"}'])("replaces %j", (id) => {
  expect(toRequestId(id, newId)).toBe("new");
});

test("makes a UUID by default", () => {
  expect(toRequestId(null)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
