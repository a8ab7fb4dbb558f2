/**
 * Has sixteen workers that are killed at random claim five thousand tasks from two servers: each task completes
 * once, no two workers ever hold the same one, and none is lost.
 *
 * Usage: node test/hazards/claim-storm.ts [seed = 1]
 */
import { describe } from "./chaos/describe.ts";
import { play } from "./chaos/scenario.ts";
import { check, print } from "./report.ts";

const flows = 10;
const tasksPerFlow = 500;

const outcome = await play({
  seed: Number(process.argv[2] ?? 1),
  flows: Array.from({ length: flows }, (_, flow) => ({
    name: `storm ${flow}`,
    priority: 0,
    tasks: Array.from({ length: tasksPerFlow }, (_, task) => ({
      name: `task-${task}`,
      dependsOn: [],
      work: { ms: task % 40, fails: 0, items: 0 },
    })),
  })),
  servers: 2,
  workers: 16,
  // These hand in many results with one call: single ones would fill the pools of the servers.
  workerKinds: ["library-worker"],
  concurrency: 20,
  leaseMs: 2000,
  windowMs: 15_000,
  kinds: ["kill-worker"],
  faults: 40,
  corrections: 0,
  patienceMs: 240_000,
});
describe("claim storm", ["kill-worker"], outcome, false);
const claims = outcome.history.filter(({ kind }) => kind === "claimed").length;
const completed = outcome.state.tasks.filter(({ status }) => status === "completed").length;
print(`     ${claims} claims, ${outcome.state.tasks.length} records`);
check(
  completed === flows * tasksPerFlow,
  `     ${completed} of ${flows * tasksPerFlow} tasks completed, each once`,
);
