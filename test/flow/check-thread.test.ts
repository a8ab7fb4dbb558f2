import { expect, test } from "vitest";
import type { LedgerError } from "../../src/errors.ts";
import { checkDefinition } from "../../src/flow/check-definition.ts";
import { CheckThread } from "../../src/flow/check-thread.ts";
import { checkInput, checkSchema } from "../../src/flow/input-schema.ts";

function stubbornThread(mostMs = 20_000): CheckThread<string, string> {
  return new CheckThread({
    program: new URL("./stubborn-thread.ts", import.meta.url),
    mostMs,
    memory: { maxOldGenerationSizeMb: 32 },
    tooCostly: "too costly",
  });
}

test("each question gets its own answer", async () => {
  const thread = stubbornThread();
  const questions = Array.from({ length: 15 }, (_, index) => String(index));
  const answers = await Promise.all(questions.map((question) => thread.ask("a", question)));
  expect(answers).toEqual(questions.map((question) => `answer to ${question}`));
});

test.each(["never answer", "take all memory"])(
  "a thread that would %s is ended, and the next goes on",
  async (question) => {
    // Busy machines take a while to fill the memory: then it is the time that ends it.
    const thread = stubbornThread(question === "never answer" ? 1000 : 20_000);
    expect(await thread.ask("a", "1")).toBe("answer to 1");
    const answers = await Promise.all([thread.ask("a", question), thread.ask("a", "2")]);
    expect(answers).toEqual(["too costly", "answer to 2"]);
  },
);

test("an answer that comes after the time was over is nobody else's", async () => {
  const thread = stubbornThread(1000);
  await thread.ask("a", "1");
  const answers = [thread.ask("a", "2"), thread.ask("a", "3")];
  // The answer to 2 is there before anybody can look, and so is the end of its time.
  for (const end = performance.now() + 1200; performance.now() < end; );
  expect(await answers[0]).toMatch(/^(answer to 2|too costly)$/);
  expect(await answers[1]).toBe("answer to 3");
});

test("organizations take turns, however many one of them asks", async () => {
  const thread = stubbornThread(200);
  const order: string[] = [];
  const ask = (organization: string, question: string) =>
    thread.ask(organization, question).then(() => order.push(organization));
  await Promise.all([
    ...Array.from({ length: 5 }, () => ask("greedy", "never answer")),
    ask("modest", "1"),
    ask("modest", "2"),
  ]);
  // One is under way already; then it is the other's turn.
  expect(order.slice(0, 4)).toEqual(["greedy", "modest", "greedy", "modest"]);
});

test("an organization over its number of waiting checks is refused, and no other", async () => {
  const thread = stubbornThread();
  const asked = Array.from({ length: 60 }, async (_, index) => thread.ask("greedy", String(index)));
  const outcomes = await Promise.all(
    [...asked, thread.ask("modest", "1")].map((answer) =>
      answer.catch((error: LedgerError) => error.problem),
    ),
  );
  // One is under way, and fifty wait.
  expect(outcomes.filter((outcome) => outcome === "TOO_MANY_REQUESTS")).toHaveLength(9);
  expect(outcomes.at(-1)).toBe("answer to 1");
});

const size = 2 ** 18;
const fill = (before: string, part: string) =>
  before + part.repeat(Math.floor((size - before.length) / part.length));

test.each([
  ["keys", fill("name: x\ntasks:\n", "- a:\n"), "unknown_key"],
  ["empty maps", `${fill("name: x\ntasks:\n- name: a\n  input: [", "{},").slice(0, -1)}]`, "bad_length"],
])(
  "a definition full of %s holds up nobody else while it is read",
  async (_, text, code) => {
    let longestMs = 0;
    let last = performance.now();
    const ticks = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - last);
      last = performance.now();
    }, 5);
    const begin = performance.now();
    const { problems } = await checkDefinition("organization", text);
    clearInterval(ticks);
    // A machine that is busy with other things may not get to the end of it.
    expect([code, "too_costly"]).toContain(problems[0]?.code);
    expect(longestMs).toBeLessThan((performance.now() - begin) / 5);
  },
  60_000,
);

test("a definition is the same whether it is read here or in a thread", async () => {
  const flow = (padding: string) =>
    `name: x\n${padding}tasks:\n- name: a\n  input: {__proto__: 1, b: -0, c: "{{input.x}}"}\n- name: b\n  depends_on: [a]\ninput_schema: {type: object}\n`;
  const here = await checkDefinition("organization", flow("#\n"));
  const there = await checkDefinition("organization", flow("#".repeat(10_000).concat("\n")));
  expect(here.problems).toEqual([]);
  expect(there).toEqual(here);
});

test("a schema is checked, and so is an input against it; a pattern that takes for ever ends neither", async () => {
  expect(await checkSchema("organization", { type: "object" })).toBeUndefined();
  expect(await checkSchema("organization", { type: "no such type" })).toMatch(/type/);
  const schema = JSON.stringify({ properties: { "a/b": { type: "array", items: { type: "number" } } } });
  expect(await checkInput("organization", schema, '{"a/b": [1, 2]}')).toEqual([]);
  expect(await checkInput("organization", schema, '{"a/b": [1, "2"]}')).toEqual([
    { path: "input.a/b[1]", message: "must be number" },
  ]);
  expect(await checkInput("organization", "{}", undefined)).toEqual([
    { path: "input", message: expect.stringContaining("is missing") },
  ]);
  const evil = JSON.stringify({ type: "string", pattern: "^(a+)+$" });
  const [fault] = await checkInput("organization", evil, JSON.stringify(`${"a".repeat(60)}!`));
  expect(fault?.message).toMatch(/too costly/);
});
