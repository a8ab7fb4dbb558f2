import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Part, scan } from "../../src/template/scanner.ts";

/** Writes what a text is cut into on one line: literals as JSON, references as root and path. */
function show(text: string): string {
  const scanned = scan(text);
  if ("fault" in scanned) return scanned.fault;
  return scanned.parts.map(showPart).join(" + ");
}

function showPart(part: Part): string {
  if (typeof part === "string") return JSON.stringify(part);
  const { root, path } = part;
  const name = root.kind === "task" ? `task ${root.name}` : root.kind;
  return [name, ...path.map((step) => JSON.stringify(step))].join(" / ");
}

describe("a template", () => {
  test.each([
    ["{{load.output}}", "task load"],
    ["{{ load.output }}", "task load"],
    ["{{\n\tload.output\r\n}}", "task load"],
    ["{{load.output.rows[0].x}}", 'task load / "rows" / 0 / "x"'],
    ["{{load.output[0][12]}}", "task load / 0 / 12"],
    ['{{load.output["a b"].c}}', 'task load / "a b" / "c"'],
    ["{{load_2-b.output}}", "task load_2-b"],
    ['{{["name.with.dots"].output}}', "task name.with.dots"],
    ['{{["name.with.dots"].output.x}}', 'task name.with.dots / "x"'],
    ['{{["a \\"quoted\\" name}}"].output}}', 'task a "quoted" name}}'],
    ['{{["\\u00e9"].output}}', "task é"],
    // A task may have the name of a root; in brackets it is meant.
    ['{{["input"].output.x}}', 'task input / "x"'],
    ['{{["item"].output}}', "task item"],
    ["{{input}}", "input"],
    ["{{input.x}}", 'input / "x"'],
    ["{{input[3]}}", "input / 3"],
    ["{{item}}", "item"],
    ["{{item.id}}", 'item / "id"'],
    ["{{item_index}}", "item_index"],
    ["{{items.output}}", "task items"],
    ["{{a.output.__proto__}}", 'task a / "__proto__"'],
    ["from {{input.x}} to {{input.y}}.", '"from " + input / "x" + " to " + input / "y" + "."'],
    ["{{input}}{{item}}", "input + item"],
    ["{{a.output}}}}", 'task a + "}}"'],
    ["no braces", '"no braces"'],
    ["{ {single} } }}", '"{ {single} } }}"'],
    ["", ""],
    ["\\{{input}}", '"{{input}}"'],
    ["a \\{{ b {{input}}", '"a {{ b " + input'],
    ["{{input}}\\{{", 'input + "{{"'],
  ])("%j is %s", (text, want) => {
    expect(show(text)).toBe(want);
  });

  const notClosed = "close it with }}; there are no expressions";
  const noName = 'write the name of a task, or ["its.name"] in brackets';
  const noStep = 'after a name come .key, ["any key"] or [0]';
  test.each([
    ["{{", noName],
    ["{{}}", noName],
    ["{{ }}", noName],
    ["{{{input}}}", noName],
    ["{{1}}", noName],
    ["{{é.output}}", noName],
    ['{{"a".output}}', noName],
    ["{{[a].output}}", noName],
    ["{{[].output}}", noName],
    ['{{["a.output}}', noName],
    ['{{["a"', noName],
    ['{{["\\x"].output}}', noName],
    ['{{[""].output}}', noName],
    ["{{input", notClosed],
    ["{{input}", notClosed],
    ["{{input }", notClosed],
    ["{{input + 1}}", notClosed],
    ["{{input | upper}}", notClosed],
    ["{{input.x y}}", notClosed],
    ["{{input('a')}}", notClosed],
    ["{{constructor.constructor('return process')()}}", notClosed],
    ["{{input ? 1 : 2}}", notClosed],
    ["{{input.}}", noStep],
    ["{{input.1}}", noStep],
    ["{{input..x}}", noStep],
    ["{{input[}}", noStep],
    ["{{input[-1]}}", noStep],
    ["{{input[01]}}", noStep],
    ["{{input[1e3]}}", noStep],
    ["{{input[1234567890]}}", noStep],
    ["{{input[x]}}", noStep],
    ["{{input['x']}}", noStep],
    ["{{input[`x`]}}", noStep],
    ["{{[0].output}}", "a task is named by a text"],
    ["{{load}}", "of a task there is .output, as in {{load.output}}"],
    ["{{load.input}}", "of a task there is .output, as in {{load.output}}"],
    ["{{load.rows.output}}", "of a task there is .output, as in {{load.output}}"],
    ['{{["a.b"]}}', 'of a task there is .output, as in {{["a.b"].output}}'],
    ["{{load[0].output}}", "of a task there is .output, as in {{load.output}}"],
  ])("%j is none", (text, advice) => {
    expect(show(text)).toMatch(/ is no template: /);
    expect(show(text).split(" is no template: ")[1]).toBe(advice);
  });

  test("that is none shows no more of the text than its beginning, on one line", () => {
    const scanned = scan(`before {{a\n\n+ ${"x".repeat(1000)}`);
    expect(scanned).toEqual({
      fault: `{{a + ${"x".repeat(73)}… is no template: close it with }}; there are no expressions`,
    });
  });

  test("is found wherever it stands, and nothing else of the text is changed", () => {
    const literal = fc
      .string({ unit: "binary", maxLength: 8 })
      .map((text) => text.replaceAll("{{", "{").replaceAll("\\", "/"));
    // A literal that ends in a brace would make three of them.
    const safe = literal.map((text) => (text.endsWith("{") ? `${text} ` : text));
    const source = fc.constantFrom("{{input}}", "{{ a.output[0] }}", '{{["}}"].output}}', "{{item_index}}");
    fc.assert(
      fc.property(fc.array(fc.tuple(safe, source)), safe, (pairs, end) => {
        const scanned = scan(pairs.flat().join("") + end);
        const parts = "parts" in scanned ? scanned.parts : [];
        expect(parts.map((part) => (typeof part === "string" ? part : part.source)).join("")).toBe(
          pairs.flat().join("") + end,
        );
        expect(parts.filter((part) => typeof part !== "string")).toHaveLength(pairs.length);
      }),
    );
  });

  test("never makes the scanner throw, whatever it is", () => {
    const piece = fc.constantFrom(
      ..."{{ }} [ ] \" ' . \\ a output input item 0 -1 \0 😀 \ud800 \n".split(" "),
      " ",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const scanned = scan(pieces.join(""));
        expect("parts" in scanned || scanned.fault.length > 0).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  // With a pattern such as \{\{\s*(.*?)\s*\}\} the first two took seconds.
  test.each<[string, (size: number) => string]>([
    ["opening braces", (size) => "{{".repeat(size / 2)],
    ["spaces after a brace", (size) => `{{${" ".repeat(size)}`],
    ["a name without end", (size) => `{{${"a".repeat(size)}`],
    ["a quoted name without end", (size) => `{{["${"a".repeat(size)}`],
    ["escapes in a quoted name", (size) => `{{["${"\\\\".repeat(size / 2)}`],
    ["steps without end", (size) => `{{input${".a".repeat(size / 2)}`],
    ["escaped braces", (size) => "\\{{".repeat(size / 3)],
    ["single braces", (size) => "{ ".repeat(size / 2)],
    ["templates", (size) => "{{a.output}} ".repeat(size / 13)],
    [
      "templates that are spaces for the most part",
      (size) => `{{${" ".repeat(500)}input}}`.repeat(size / 509),
    ],
  ])("is scanned in linear time: %s", (_what, make) => {
    const size = 200_000;
    const [short, long] = [make(size), make(8 * size)];
    scan(short);
    const times = [short, long].map((text) => fastest(() => scan(text)));
    // Eight times the text takes eight times as long, and 64 times if it were quadratic.
    expect(times[1]!).toBeLessThan(Math.max(times[0]!, 0.2) * 24);
  });
});

/** Returns how many milliseconds the fastest of some calls takes: the others were held up by something else. */
function fastest(call: () => unknown): number {
  const times = Array.from({ length: 7 }, () => {
    const start = performance.now();
    call();
    return performance.now() - start;
  });
  return Math.min(...times);
}
