import { expect, test } from "vitest";
import { atLeast, bestOf, type Contender, compare } from "../../bench/harness/compare.ts";
import type { Figure, Options } from "../../bench/harness/figure.ts";
import { toMarkdown } from "../../bench/harness/report.ts";

const options: Options = { rounds: 3, seconds: 1, records: 0, soakSeconds: 0 };
const unit = "calls/s";

/** Makes a contender that does so much in its runs, one after the other. */
function contender(name: string, rates: number[], order: string[] = []): Contender {
  const left = [...rates];
  return {
    name,
    about: () => "made up.",
    async run() {
      order.push(name);
      return { [unit]: left.shift()! };
    },
  };
}

test("contenders take turns, and each ratio is one of the same round", async () => {
  const order: string[] = [];
  const findings = await compare(
    {
      contenders: [contender("a", [9, 1, 20, 300], order), contender("b", [1, 2, 10, 100], order)],
      requirements: [atLeast(1, "a", "b", unit)],
    },
    options,
    () => {},
  );
  expect(order.join("")).toBe("abababab");
  expect(findings.checks[0]?.values).toEqual([0.5, 2, 3]);
});

test("the first round does not count", async () => {
  const { measures } = await compare(
    { contenders: [contender("a", [9, 1, 2, 3])], requirements: [] },
    options,
    () => {},
  );
  expect(measures).toEqual([{ name: "a, calls/s", values: [1, 2, 3] }]);
});

test("of several ways the best is found out once and taken from then on", async () => {
  const taken: string[] = [];
  const way = (name: string, rate: number) => ({
    name,
    async run() {
      taken.push(name);
      return { [unit]: rate };
    },
  });
  const best = bestOf("a", "does it.", unit, [way("slow", 1), way("fast", 3), way("middling", 2)]);
  await best.run(1);
  await best.run(1);
  expect(taken).toEqual(["slow", "fast", "middling", "fast"]);
  expect(best.about()).toMatch(/Taken: fast\.$/);
});

test.each([
  [[0.4, 0.7, 0.9], true],
  [[0.4, 0.5, 0.9], false],
])("a bound is met by the median, not by one good round: %j", (values, met) => {
  const figure = { name: "f", title: "F" } as Figure;
  const checks = [{ name: "ratio", values, least: 0.6 }];
  const report = toMarkdown(figure, { measures: [], checks, notes: [], duration: "3 rounds of 1 s" });
  expect(report.met).toBe(met);
  expect(report.text).toContain(met ? "| yes |" : "| **no** |");
});
