import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { openPlace, sealPlace } from "../../src/page-token/seal.ts";

const key = randomBytes(32);
const scope = { method: "ListFlows", filter: { showDeleted: false } };
const place = { position: "01890a5d-ac96-774b-bcce-b302099a8057", issued: 1_800_000_000 };

/** The token with each of its bits flipped, one at a time. */
function flips(token: string): string[] {
  return Array.from({ length: token.length * 8 }, (_, bit) => {
    const bytes = Buffer.from(token, "latin1");
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    return bytes.toString("latin1");
  });
}

describe("a page token", () => {
  test("says the position and the time it was made with", () => {
    expect(openPlace(key, scope, sealPlace(key, scope, place))).toEqual(place);
  });

  test.each(["", "7", "ü€😀", "x".repeat(700)])("keeps the position %j", (position) => {
    expect(openPlace(key, scope, sealPlace(key, scope, { ...place, position }))?.position).toBe(position);
  });

  // Positions of three lengths, because the last character of the token has bits to spare in two of them.
  test.each(["a", "ab", "abc"])("is refused with any bit flipped (position %j)", (position) => {
    const token = sealPlace(key, scope, { ...place, position });
    for (const flipped of flips(token)) {
      expect(openPlace(key, scope, flipped), flipped).toBeUndefined();
    }
  });

  test("is refused when cut short or made longer", () => {
    const token = sealPlace(key, scope, place);
    for (let length = 0; length < token.length; length++) {
      expect(openPlace(key, scope, token.slice(0, length))).toBeUndefined();
    }
    for (const more of ["=", "A", "AA", " ", "\n", "\0"]) {
      expect(openPlace(key, scope, token + more)).toBeUndefined();
    }
    expect(openPlace(key, scope, token + "A".repeat(1_000_000))).toBeUndefined();
  });

  test.each([
    ["another method", { ...scope, method: "ListFlowExecutions" }],
    ["another filter", { ...scope, filter: { showDeleted: true } }],
    ["a filter with more in it", { ...scope, filter: { showDeleted: false, flowId: "x" } }],
    ["no filter", { ...scope, filter: undefined }],
  ])("is refused for %s", (_, other) => {
    expect(openPlace(key, other, sealPlace(key, scope, place))).toBeUndefined();
  });

  test("is refused with the key of another organization", () => {
    expect(openPlace(randomBytes(32), scope, sealPlace(key, scope, place))).toBeUndefined();
  });

  test.each(["v1", "v1.", "v2.AAAA", "v1.%%%", "../../etc/passwd", "\0", "😀", "v1.\ud800"])(
    "is not %j",
    (text) => {
      expect(openPlace(key, scope, text)).toBeUndefined();
    },
  );

  test("is never made so long that it would be refused", () => {
    expect(() => sealPlace(key, scope, { ...place, position: "x".repeat(1000) })).toThrow(RangeError);
  });
});
