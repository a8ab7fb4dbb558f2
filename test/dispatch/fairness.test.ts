import { afterAll, beforeAll, expect, test } from "vitest";
import { asSuperuser } from "../database.ts";
import { type Fleet, openFleet } from "./fleet.ts";

/** How often each claim is timed. */
const rounds = 15;

let quiet: Fleet;
let crowded: Fleet;
let crowd: Fleet;
beforeAll(async () => {
  quiet = await openFleet();
  crowded = await openFleet();
  crowd = await openFleet(crowded.database);
});
afterAll(async () => {
  await quiet.close();
  await crowded.close();
});

/** Starts a run with one task and returns how many milliseconds its claim takes. */
async function timeClaim(fleet: Fleet): Promise<number> {
  await fleet.start("\n      tasks: [{name: only, executor: common}]");
  const begun = performance.now();
  const claimed = await fleet.claim(["common"]);
  const tookMs = performance.now() - begun;
  expect(claimed).toHaveLength(1);
  await fleet.complete(claimed[0]!);
  return tookMs;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

// Both databases are on the same server, and are asked in turns: whatever else the machine does slows both.
test("10,000 queued tasks of another organization do not make a claim twice as slow", {
  timeout: 120_000,
}, async () => {
  for (let run = 0; run < 2; run++) {
    await crowd.start("\n      tasks: [{name: each, executor: common, for_each: '{{input}}'}]", [
      ...Array(5000).keys(),
    ]);
  }
  const [row] = await asSuperuser<{ queued: number }>(
    crowded.database.superuserUrl,
    "select count(*)::int as queued from task_execution where status = 'queued'",
  );
  expect(row!.queued).toBe(10_000);
  const times = { quiet: [] as number[], crowded: [] as number[] };
  for (let warm = 0; warm < 5; warm++) {
    await timeClaim(quiet);
    await timeClaim(crowded);
  }
  for (let round = 0; round < rounds; round++) {
    times.quiet.push(await timeClaim(quiet));
    times.crowded.push(await timeClaim(crowded));
  }
  expect(median(times.crowded) / median(times.quiet)).toBeLessThan(2);
  expect(await crowd.claim(["common"], 10)).toHaveLength(10);
});
