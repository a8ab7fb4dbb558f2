import { expect, test } from "vitest";
import { cut, oneLine } from "../../src/server/text.ts";

test("cut leaves text that is short enough as it is", () => {
  expect(cut("Grüße, 世界", 20)).toBe("Grüße, 世界");
});

test("cut marks what it cuts, and splits no character", () => {
  expect(cut("abcdef", 4)).toBe("abc…");
  expect(cut("ab😀def", 4).isWellFormed()).toBe(true);
});

test("cut repairs lone surrogates", () => {
  expect(encodeURIComponent(cut("a\ud800b", 10))).toBe("a%EF%BF%BDb");
});

test.each([
  ["a\r\nb", "a\\u000d\\u000ab"],
  ["\u001b[31mred", "\\u001b[31mred"],
  ["\u009b31m", "\\u009b31m"],
  ["a\u2028b\u2029c", "a\\u2028b\\u2029c"],
  ["\u202eevil", "\\u202eevil"],
  ["nul\u0000", "nul\\u0000"],
])("oneLine shows %j on one line", (text, shown) => {
  expect(oneLine(text)).toBe(shown);
});

test("oneLine cuts to 256 characters", () => {
  expect(oneLine("x".repeat(10_000))).toHaveLength(256);
});
