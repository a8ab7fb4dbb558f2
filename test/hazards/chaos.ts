/**
 * Plays workflows on two servers and eight workers that are killed and paused at random, while PostgreSQL crashes:
 * every run ends completed, and what clients were told is what there is. The same seed plans the same.
 *
 * Usage: node test/hazards/chaos.ts [seed ...] [FILE.json ...], seeds 1 to 20 unless given. The files are recordings
 * in WfFormat, which run beside the flows made up from each seed; TASKLEDGER_RECORDINGS may name them too, with
 * commas between.
 */
import { seededRandom } from "../server/header-fuzz.ts";
import { describe } from "./chaos/describe.ts";
import { faultKinds } from "./chaos/faults.ts";
import { randomFlow, recordedFlow } from "./chaos/flows.ts";
import { play } from "./chaos/scenario.ts";

const args = process.argv.slice(2);
const seeds = args.filter((arg) => /^\d+$/.test(arg)).map(Number);
const files = [
  ...args.filter((arg) => !/^\d+$/.test(arg)),
  ...(process.env["TASKLEDGER_RECORDINGS"]?.split(",") ?? []),
];
const recorded = await Promise.all(files.map(recordedFlow));

for (const seed of seeds.length > 0 ? seeds : Array.from({ length: 20 }, (_, index) => index + 1)) {
  const random = seededRandom(seed);
  const flows = Array.from({ length: 20 }, (_, index) => randomFlow(`seed ${seed} flow ${index}`, random));
  const outcome = await play({
    seed,
    flows: [...recorded.map((flow) => ({ ...flow, name: `seed ${seed} ${flow.name}` })), ...flows],
    servers: 2,
    workers: 8,
    workerKinds: ["worker", "library-worker"],
    concurrency: 3,
    leaseMs: 1000 + 500 * (seed % 3),
    windowMs: 15_000,
    kinds: faultKinds,
    faults: 16,
    corrections: 10,
    patienceMs: 120_000,
  });
  describe(`seed ${seed}`, faultKinds, outcome);
}
