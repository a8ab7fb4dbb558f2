import { describe, expect, test } from "vitest";
import { checkInput, checkSchema } from "../../src/flow/input-schema.ts";
import type { Json } from "../../src/template/json.ts";
import { outcomeOf } from "../client.ts";

const ours = "organization";
const schemaFaultOf = (schema: Json) => checkSchema(ours, schema);
/** Returns what is wrong with an input, as `path: message`. */
async function faultsOf(schema: Json, input: Json | undefined, organizationId = ours): Promise<string[]> {
  const text = input === undefined ? undefined : JSON.stringify(input);
  const faults = await checkInput(organizationId, JSON.stringify(schema), text);
  return faults.map(({ path, message }) => `${path}: ${message}`);
}

/** A pattern that takes time without end to find that a text does not match it. */
const slow = { type: "string", pattern: "^(a+)+$" };
const slowInput = `${"a".repeat(60)}!`;

describe("a schema", () => {
  test.each<[string, Json]>([
    ["true", true],
    ["an empty one", {}],
    ["one of the dialect that is meant", { $schema: "https://json-schema.org/draft/2020-12/schema" }],
    ["one with definitions", { $ref: "#/$defs/name", $defs: { name: { type: "string" } } }],
    ["one that refers to itself", { properties: { next: { $ref: "#" } } }],
    ["tuples of 2020-12", { prefixItems: [{ type: "string" }], items: false }],
    ["a format, which checks nothing", { type: "string", format: "uuid" }],
  ])("is %s", async (_what, schema) => {
    expect(await schemaFaultOf(schema)).toBeUndefined();
  });

  test.each<[string, Json, RegExp]>([
    ["a number", 7, /object or boolean/],
    ["a list", [], /must be object,boolean/],
    ["one of an unknown type", { type: "strin" }, /must be equal to one of the allowed values/],
    ["one with a word that means nothing", { propertees: {} }, /unknown keyword: "propertees"/],
    [
      "one of another dialect",
      { $schema: "http://json-schema.org/draft-07/schema#" },
      /no schema with key or ref/,
    ],
    ["one whose pattern is none", { type: "string", pattern: "(" }, /[Ii]nvalid regular expression/],
    ["one that refers to nothing", { $ref: "#/$defs/none" }, /can't resolve reference/],
    ["one that refers to another document", { $ref: "http://127.0.0.1:9/schema" }, /can't resolve reference/],
    ["one that refers to a file", { $ref: "file:///etc/passwd" }, /can't resolve reference/],
    ["one with a negative length", { minLength: -1 }, /must be >= 0/],
  ])("is not %s", async (_what, schema, fault) => {
    expect(await schemaFaultOf(schema)).toMatch(fault);
  });

  test("whose fault is long is told in short", async () => {
    expect((await schemaFaultOf({ ["x".repeat(100_000)]: 1 }))!.length).toBeLessThanOrEqual(400);
  });
});

describe("an input", () => {
  const schema = {
    type: "object",
    required: ["rows"],
    additionalProperties: false,
    properties: {
      rows: { type: "array", items: { type: "object", properties: { "a/b~c": { type: "integer" } } } },
      "": { type: "null" },
    },
  };
  test.each<[string, Json, string[]]>([
    ["matches", { rows: [{ "a/b~c": 1 }], "": null }, []],
    ["lacks something", {}, ["input: must have required property 'rows'"]],
    ["has another type", [], ["input: must be object"]],
    [
      "has something wrong inside",
      { rows: [{}, { "a/b~c": 1.5 }] },
      ["input.rows[1].a/b~c: must be integer"],
    ],
    ["has something more", { rows: [], more: 1 }, ["input: must NOT have additional properties (more)"]],
    [
      "has a strange key",
      JSON.parse('{"rows": [], "__proto__": 1}'),
      ["input: must NOT have additional properties (__proto__)"],
    ],
  ])("that %s", async (_what, input, want) => {
    expect(await faultsOf(schema, input)).toEqual(want);
  });

  test("that is not there matches no schema, and null matches what null does", async () => {
    expect(await faultsOf({}, undefined)).toEqual([
      "input: is missing; the flow's input_schema describes it",
    ]);
    expect(await faultsOf({}, null)).toEqual([]);
    expect(await faultsOf({ type: "object" }, null)).toEqual(["input: must be object"]);
  });

  test("is found by its own properties only", async () => {
    const required = { type: "object", required: ["constructor", "toString"] };
    expect(await faultsOf(required, {})).toEqual(["input: must have required property 'constructor'"]);
  });
});

describe("a hostile schema", () => {
  const costly =
    "input: cannot be checked: the flow's input_schema is too costly to check: it takes longer than 1000 ms, or too much memory";

  /** Counts how often this process gets to something else while it waits. */
  async function turnsDuring(call: Promise<unknown>): Promise<number> {
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    await call;
    clearInterval(timer);
    return turns;
  }

  /** Each is twice the one before: 2^40 checks of one value. */
  const doubling = {
    $ref: "#/$defs/s0",
    $defs: Object.fromEntries([
      ...Array.from({ length: 40 }, (_, n) => [
        `s${n}`,
        { allOf: [{ $ref: `#/$defs/s${n + 1}` }, { $ref: `#/$defs/s${n + 1}` }] },
      ]),
      ["s40", { type: "number" }],
    ]),
  };

  const overflow = /^input: cannot be checked: .*(Maximum call stack|too costly)/;
  test.each<[string, Json, Json, RegExp]>([
    ["a pattern that goes back and forth", slow, slowInput, /too costly/],
    ["twice as much at each step", doubling, 1, /too costly/],
    ["a reference to itself", { $ref: "#" }, 1, overflow],
    [
      "references in a circle",
      { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } },
      1,
      overflow,
    ],
  ])("holds up nothing: %s", { timeout: 60_000 }, async (_what, schema, input, want) => {
    const begun = performance.now();
    expect((await faultsOf(schema, input)).join()).toMatch(want);
    expect(await faultsOf({ type: "number" }, 1)).toEqual([]);
    // A second each, and what it takes to start two threads.
    expect(performance.now() - begun).toBeLessThan(12_000);
  });

  test.each<[string, Json, Json]>([
    ["items that must be unique", { uniqueItems: true }, Array.from({ length: 9000 }, (_, n) => ({ n }))],
    ["ten thousand properties", { properties: manyProperties(10_000) }, {}],
  ])(
    "that takes long is answered one way or the other: %s",
    { timeout: 60_000 },
    async (_what, schema, input) => {
      expect([[], [costly]]).toContainEqual(await faultsOf(schema, input));
    },
  );

  test("is given up after a second, while others are served", { timeout: 60_000 }, async () => {
    const call = faultsOf(slow, slowInput);
    expect(await turnsDuring(call)).toBeGreaterThan(50);
    expect(await call).toEqual([costly]);
  });

  test("of one organization keeps another one waiting for one check at most", {
    timeout: 60_000,
  }, async () => {
    const order: string[] = [];
    const ofOthers = Array.from({ length: 2 }, (_, n) =>
      faultsOf(slow, slowInput, "slow").then(() => order.push(`slow ${n}`)),
    );
    const mine = faultsOf({ type: "number" }, 1).then(() => order.push("mine"));
    await Promise.all([...ofOthers, mine]);
    expect(order).toEqual(["slow 0", "mine", "slow 1"]);
  });

  test("that is asked too often is refused, and not the others", { timeout: 60_000 }, async () => {
    // Fast ones: what matters is how many wait.
    const outcomes = await Promise.all(Array.from({ length: 60 }, () => outcomeOf(faultsOf({}, 1, "often"))));
    expect(outcomes.filter((outcome) => outcome === "ok").length).toBeGreaterThanOrEqual(50);
    expect(outcomes.at(-1)).not.toBe("ok");
    expect(await faultsOf({}, 1, "seldom")).toEqual([]);
  });
});

function manyProperties(count: number): Json {
  return Object.fromEntries(
    Array.from({ length: count }, (_, n) => [`p${n}`, { type: "number", minimum: n }]),
  );
}
