import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Json } from "../../src/template/json.ts";
import { inspect, resolve, type Scope, TemplateError, templateLimits } from "../../src/template/template.ts";

const outputs = new Map<string, Json>([
  ["load", { rows: [{ x: 1 }, { x: null }], ok: true, text: "t" }],
  ["name.with.dots", "dotted"],
]);
const scope: Scope = {
  input: { x: 7, name: "n" },
  output: (task) => outputs.get(task),
  item: ["i"],
  itemIndex: 3,
};

/** Returns a value with its templates resolved, or what is wrong. */
function resolved(value: Json, more: Partial<Scope> = {}): Json {
  try {
    return resolve(value, { ...scope, ...more });
  } catch (error) {
    expect(error).toBeInstanceOf(TemplateError);
    return `error: ${(error as Error).message}`;
  }
}

describe("a template that is the whole text", () => {
  test.each<[string, Json]>([
    ["{{load.output}}", { rows: [{ x: 1 }, { x: null }], ok: true, text: "t" }],
    ["{{load.output.rows}}", [{ x: 1 }, { x: null }]],
    ["{{load.output.rows[0].x}}", 1],
    ["{{load.output.rows[1].x}}", null],
    ["{{load.output.ok}}", true],
    ['{{["name.with.dots"].output}}', "dotted"],
    ["{{input.x}}", 7],
    ["{{ input }}", { x: 7, name: "n" }],
    ["{{item}}", ["i"]],
    ["{{item[0]}}", "i"],
    ["{{item_index}}", 3],
  ])("%s keeps the type of what it stands for", (text, want) => {
    expect(resolved(text)).toEqual(want);
  });

  test("stands for any JSON value as it is", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(resolve("{{input}}", { ...scope, input: value as Json })).toBe(value);
      }),
    );
  });
});

describe("a template inside of text", () => {
  test.each<[string, string]>([
    ["{{input.name}} and {{input.x}}", "n and 7"],
    ["{{load.output.ok}}!", "true!"],
    [" {{load.output.rows}}", ' [{"x":1},{"x":null}]'],
    ["{{load.output.rows[1].x}}.", "null."],
    ["{{input.name}}{{input.name}}", "nn"],
    ["\\{{input.name}} is {{input.name}}", "{{input.name}} is n"],
  ])("%s is %s", (text, want) => {
    expect(resolved(text)).toBe(want);
  });

  test("puts texts in as they are, and other values as JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const rendered = typeof value === "string" ? value : JSON.stringify(value);
        expect(resolve("<{{input}}>", { ...scope, input: value as Json })).toBe(`<${rendered}>`);
      }),
    );
  });
});

test("templates are resolved wherever they stand in a value, and not in its keys", () => {
  expect(resolved({ "{{input.x}}": [{ deep: ["{{input.x}}", 1, null, false, "plain"] }] })).toEqual({
    "{{input.x}}": [{ deep: [7, 1, null, false, "plain"] }],
  });
});

test("what was put in is never looked at again", () => {
  const evil = '{{load.output}} {{["name.with.dots"].output}} \\{{input}} {{constructor.constructor("x")()}}';
  expect(resolved("{{input}}", { input: evil })).toBe(evil);
  expect(resolved("a {{input}} b", { input: evil })).toBe(`a ${evil} b`);
  expect(resolved("{{input}}", { input: { again: evil } })).toEqual({ again: evil });
  // Two halves of braces that only meet when they are put together.
  expect(resolved("{{input.a}}{{input.b}}", { input: { a: "{", b: "{input.c}}" } })).toBe("{{input.c}}");
});

test("what no template is, is left as it is", () => {
  const plain = fc.jsonValue().filter((value) => !JSON.stringify(value).includes("{{"));
  fc.assert(
    fc.property(plain, (value) => {
      expect(resolve(value as Json, scope)).toEqual(value);
    }),
  );
});

describe("a value that is missing", () => {
  test.each<[string, string]>([
    ["{{unknown.output}}", '{{unknown.output}}: there is no output of "unknown"'],
    ["{{unknown.output.x}}", '{{unknown.output.x}}: there is no output of "unknown"'],
    [
      "{{load.output.row}}",
      '{{load.output.row}}: output of "load" has no .row: it is an object with the keys rows, ok, text',
    ],
    ["{{load.output.rows.x}}", '{{load.output.rows.x}}: output of "load".rows has no .x: it is a list of 2'],
    [
      "{{load.output.rows[2]}}",
      '{{load.output.rows[2]}}: output of "load".rows has no [2]: it is a list of 2',
    ],
    [
      "{{load.output[0]}}",
      '{{load.output[0]}}: output of "load" has no [0]: it is an object with the keys rows, ok, text',
    ],
    [
      "{{load.output.text.length}}",
      '{{load.output.text.length}}: output of "load".text has no .length: it is a string',
    ],
    ["{{load.output.text[0]}}", '{{load.output.text[0]}}: output of "load".text has no [0]: it is a string'],
    ["{{input.x.y}}", "{{input.x.y}}: input of the run.x has no .y: it is a number"],
    [
      "{{load.output.rows[1].x.y}}",
      '{{load.output.rows[1].x.y}}: output of "load".rows[1].x has no .y: it is null',
    ],
    ["a {{input.z}} b", "{{input.z}}: input of the run has no .z: it is an object with the keys x, name"],
  ])("%s is told as %s", (text, want) => {
    expect(resolved({ deep: [text] })).toBe(`error: ${want}`);
  });

  test.each(["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "length", "valueOf"])(
    "is what only the prototype has: %s",
    (key) => {
      for (const path of [`.${key}`, `["${key}"]`]) {
        for (const root of [
          "input",
          "load.output",
          "load.output.rows",
          "load.output.text",
          "item",
          "input.x",
        ]) {
          expect(resolved(`{{${root}${path}}}`)).toMatch(/^error: .* has no \./);
        }
      }
      expect(resolved(`{{${key}.output}}`)).toMatch(/^error: .* there is no output of/);
    },
  );

  test("is the input of a run that has none, or the item outside of a loop", () => {
    expect(resolved("{{input}}", { input: undefined })).toBe(
      "error: {{input}}: there is no input of the run",
    );
    const { item: _item, itemIndex: _index, ...outside } = scope;
    expect(() => resolve("{{item}}", outside)).toThrow("{{item}}: there is no item");
    expect(() => resolve("{{item_index}}", outside)).toThrow("{{item_index}}: there is no item_index");
  });

  test("names no more keys than can be read", () => {
    const input = Object.fromEntries(
      Array.from({ length: 1000 }, (_, index) => [`key${index}`.repeat(50), 1]),
    );
    expect((resolved("{{input.x}}", { input }) as string).length).toBeLessThan(400);
  });
});

test("properties with strange names are found if they are there, and stay what they are", () => {
  const input = JSON.parse('{"__proto__": {"constructor": 1}, "": 2, "a.b": [3]}');
  expect(resolved('{{input["__proto__"].constructor}}', { input })).toBe(1);
  expect(resolved("{{input.__proto__}}", { input })).toEqual({ constructor: 1 });
  expect(resolved('{{input[""]}}', { input })).toBe(2);
  expect(resolved('{{input["a.b"][0]}}', { input })).toBe(3);
  const made = resolved(JSON.parse('{"__proto__": {"polluted": "{{input.x}}"}}')) as object;
  expect(Object.hasOwn(made, "__proto__")).toBe(true);
  expect(JSON.stringify(made)).toBe('{"__proto__":{"polluted":7}}');
  expect("polluted" in {}).toBe(false);
});

/** A JSON value and a way into it, and what is there. */
const places = fc.jsonValue().chain((value) =>
  fc.infiniteStream(fc.nat(1000)).map((picks) => {
    const path: (string | number)[] = [];
    let at: Json | undefined = value as Json;
    while (typeof at === "object" && at !== null && Object.keys(at).length > 0) {
      const keys: string[] = Object.keys(at);
      const key: string = keys[picks.next().value! % keys.length]!;
      const step = Array.isArray(at) ? Number(key) : key;
      if (picks.next().value! % 4 === 0) break;
      path.push(step);
      at = (at as Record<string, Json>)[key];
    }
    return { value: value as Json, path, found: at };
  }),
);

test("every place of a value can be reached, whatever its keys are", () => {
  fc.assert(
    fc.property(places, ({ value, path, found }) => {
      const steps = path.map((step) => `[${JSON.stringify(step)}]`).join("");
      expect(resolve(`{{load.output${steps}}}`, { ...scope, output: () => value })).toBe(found);
    }),
    { numRuns: 500 },
  );
});

describe("what a template comes to", () => {
  test("is bounded in bytes, all templates together", () => {
    const input = "x".repeat(100_000);
    expect(resolved(Array(10).fill("{{input}}"), { input })).toHaveLength(10);
    expect(resolved(Array(11).fill("{{input}}"), { input })).toBe(
      `error: {{input}}: with this it is larger than the limit of ${templateLimits.bytes} bytes`,
    );
    // Ten times ten times ten: each stands for ten of the one before.
    const doubled: Json = { a: Array(300).fill("{{load.output}}") };
    expect(resolved(doubled, { output: () => Array(1000).fill("four") })).toMatch(
      /^error: .* larger than the limit/,
    );
  });

  test("is bounded in references, in one text and in all", () => {
    const { references } = templateLimits;
    expect(resolved("{{input.x}}".repeat(references))).toBe("7".repeat(references));
    expect(resolved("{{input.x}}".repeat(references + 1))).toMatch(/^error: .* more than 1000 references$/);
    expect(resolved(Array(references + 1).fill("{{input.x}}"))).toMatch(
      /^error: .* more than 1000 references$/,
    );
  });
});

describe("an inspection", () => {
  test("tells every reference and every fault, and where they stand", () => {
    const { references, faults } = inspect({
      a: ["{{x.output}} {{y.output}}", { b: "{{" }],
      c: "{{item}}",
      d: "{{z}}",
    });
    expect(references.map(({ source, at }) => [source, at])).toEqual([
      ["{{x.output}}", ["a", 0]],
      ["{{y.output}}", ["a", 0]],
      ["{{item}}", ["c"]],
    ]);
    expect(faults.map(({ at }) => at)).toEqual([["a", 1, "b"], ["d"]]);
  });

  test("tells where the references become too many", () => {
    const { faults } = inspect(Array(1001).fill("{{input}}"));
    expect(faults).toEqual([{ message: "1001 references are more than the limit of 1000", at: [1000] }]);
  });
});
