/**
 * Has a service check definitions that are as costly to read as their size allows, and looks meanwhile how long
 * other calls to it take: no text holds them up.
 *
 * Usage: node test/hazards/hostile-definitions.ts
 */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { definitionLimits } from "../../src/flow/definition-limits.ts";
import { outcomeOf } from "../client.ts";
import { startServiceProcess } from "../service.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

/** How much longer the slowest other call may take than the slowest beside a process that is as busy. */
const mostHoldUpMs = 100;
/** Or what part of the time that the reading takes: on a machine that is busy with more, all take longer. */
const mostHoldUpPart = 0.1;

const head = "name: x\ntasks:\n";
const input = `${head}- name: a\n  input: `;
const fill = (before: string, part: string, after = "") =>
  before +
  part.repeat(Math.floor((definitionLimits.bytes - before.length - after.length) / part.length)) +
  after;
const names = Array.from({ length: definitionLimits.tasks }, (_, index) => `task-${index}`);

const texts: Record<string, string> = {
  "two tasks": `${head}- name: a\n- name: b\n  depends_on: [a]\n`,
  "10,000 tasks in a chain":
    head +
    names.map((name, index) => `- name: ${name}\n  depends_on: [${names[index - 1] ?? ""}]\n`).join(""),
  "4 KiB of empty maps": `${input}[${"{},".repeat(1350)}1]\n`,
  numbers: fill(`${input}[`, "1,", "1]\n"),
  "empty maps": fill(`${input}[`, "{},", "1]\n"),
  "empty lists": fill(`${input}[`, "[],", "1]\n"),
  "empty keys": fill(`${input}{`, ":,", "}\n"),
  keys: fill(head, "- a:\n"),
  items: fill(head, "- \n"),
  tags: fill(head, "- !a b\n"),
  aliases: fill(`${head}- name: &a a\n  input: [`, "*a,", "1]\n"),
  comments: fill("", "#\n"),
};

await using database = await startScriptDatabase();
await using service = await startServiceProcess(database.serviceUrl);
const flows = service.client(FlowService);
const list = () => outcomeOf(flows.listFlows({}));
for (let warm = 0; warm < 100; warm++) await list();

/** Calls again and again until something is done; returns the time of the slowest call. */
async function slowestUntil(done: Promise<unknown>): Promise<number> {
  const state = { isDone: false };
  const end = done.finally(() => {
    state.isDone = true;
  });
  let slowest = 0;
  while (!state.isDone) {
    const begin = performance.now();
    const outcome = await list();
    if (outcome !== "ok") throw new Error(`a list: ${outcome}`);
    slowest = Math.max(slowest, performance.now() - begin);
    await sleep(2);
  }
  await end;
  return slowest;
}

const busy = spawn(process.execPath, ["-e", "for (;;);"]);
const undisturbed = await slowestUntil(sleep(6000));
busy.kill();
print(`the slowest list while nothing is read, but one processor is busy: ${undisturbed.toFixed(0)} ms`);
for (const [name, definition] of Object.entries(texts)) {
  const begin = performance.now();
  const answer = flows.validateFlow({ definition });
  const slowest = await slowestUntil(answer);
  const readMs = performance.now() - begin;
  const { problems } = await answer;
  check(
    slowest <= Math.max(undisturbed + mostHoldUpMs, readMs * mostHoldUpPart),
    `${name}: ${problems[0]?.code ?? "valid"} after ${readMs.toFixed(0)} ms, the slowest list ${slowest.toFixed(0)} ms`,
  );
}
check(service.isAlive(), "the process is still the same");
