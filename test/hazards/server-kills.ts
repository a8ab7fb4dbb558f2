/**
 * Kills one of two servers at random, every ten seconds or so, under load: what was acknowledged stays, clients see
 * only errors that may be, and a server answers those who knew it within two seconds of serving again.
 *
 * Usage: node test/hazards/server-kills.ts [seconds = 180] [seed = 1]
 */
import { seededRandom } from "../server/header-fuzz.ts";
import { describe } from "./chaos/describe.ts";
import { randomFlow } from "./chaos/flows.ts";
import { play } from "./chaos/scenario.ts";
import { check, print } from "./report.ts";

const seconds = Number(process.argv[2] ?? 180);
const seed = Number(process.argv[3] ?? 1);
const mostRecoveryMs = 2000;

const random = seededRandom(seed);
const outcome = await play({
  seed,
  flows: Array.from({ length: Math.ceil(seconds / 2) }, (_, index) => randomFlow(`flow ${index}`, random)),
  servers: 2,
  workers: 6,
  workerKinds: ["worker", "library-worker"],
  concurrency: 4,
  leaseMs: 2000,
  windowMs: seconds * 1000,
  kinds: ["kill-server"],
  faults: Math.ceil(seconds / 10),
  corrections: Math.ceil(seconds / 5),
  patienceMs: 60_000,
});
describe("server kills", ["kill-server"], outcome);
const restarts = outcome.servers.flatMap((server) => server.restarts);
const longest = (of: (restart: (typeof restarts)[number]) => number) =>
  Math.max(...restarts.map(of)).toFixed(0);
print(`     ${restarts.length} restarts, the longest start took ${longest(({ startMs }) => startMs)} ms`);
check(
  restarts.every(({ recoveryMs }) => recoveryMs < mostRecoveryMs),
  `     clients were answered ${longest(({ recoveryMs }) => recoveryMs)} ms after that at most, of ${mostRecoveryMs}`,
);
