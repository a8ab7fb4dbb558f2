import { describe, expect, it } from "vitest";
import { fromJson, toPayloadText } from "../../src/payload/payload.ts";

const textOf = (json: Parameters<typeof fromJson>[0]) => toPayloadText(fromJson(json), "input");

describe("the text of a payload", () => {
  it.each([
    [{ b: 1, a: [true, null, -0], c: { z: "", y: {} } }, '{"a":[true,null,0],"b":1,"c":{"y":{},"z":""}}'],
    [{ "9": 1, "10": 2, a: 3, A: 4 }, '{"10":2,"9":1,"A":4,"a":3}'],
    [{ "\ufb33": 1, "😀": 2, é: 3, "": 4 }, '{"":4,"é":3,"😀":2,"\ufb33":1}'],
    [[], "[]"],
  ])("has its keys in the order of their UTF-16 units: %j", (json, text) => {
    expect(textOf(json)).toBe(text);
  });

  it.each([2, 15, 16, 17, 200])("is the same whatever order %i keys came in", (count) => {
    const members = Array.from(
      { length: count },
      (_, index) => [`k${(index * 7919) % count}`, index] as const,
    );
    const sorted = [...members].sort(([a], [b]) => (a < b ? -1 : 1));
    const text = `{${sorted.map(([key, value]) => `"${key}":${value}`).join(",")}}`;
    expect(textOf(Object.fromEntries(members))).toBe(text);
    expect(textOf(Object.fromEntries(members.toReversed()))).toBe(text);
    expect(textOf(Object.fromEntries(sorted))).toBe(text);
  });
});
