import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Figure } from "../harness/figure.ts";
import { rateOf } from "../harness/load.ts";
import { type Service, startService } from "../harness/service.ts";
import { mean } from "../harness/statistics.ts";
import {
  createBatch,
  createExternalRuns,
  createOne,
  getOne,
  Reports,
  spread,
} from "../scene/external-runs.ts";

const most = 300;

/** How much more the second half may hold than the first, and still count as flat. */
const mostGrowth = 1.05;

/** How long the service may take to get into its stride. */
const settleSeconds = 60;

/** The memory of the service while it has as much to do as it can. */
export const memory: Figure = {
  name: "memory",
  title: "Memory of the service at full load for 5 minutes",
  async measure({ soakSeconds }, progress) {
    await using service = await startService();
    const rates = load(service, soakSeconds);
    const samples: number[] = [];
    for (let second = 0; second < soakSeconds; second++) {
      await sleep(1000);
      samples.push(await residentMegabytes(service.pid));
      if (second % 10 === 0) progress(`${second} s: ${samples.at(-1)!.toFixed(0)} MB`);
    }
    const calls = await rates;
    const settled = samples.slice(Math.min(settleSeconds, soakSeconds / 2));
    const half = Math.floor(settled.length / 2);
    const growth = mean(settled.slice(half)) / mean(settled.slice(0, half));
    return {
      measures: [
        { name: "resident, first minute, MB", values: samples.slice(0, settleSeconds) },
        { name: "resident, after it, MB", values: settled },
        ...calls.map(({ name, rate }) => ({ name, values: [rate] })),
      ],
      checks: [
        { name: "most resident, MB", values: [Math.max(...samples)], most },
        {
          name: "mean of the second half / of the first, after the first minute",
          values: [growth],
          most: mostGrowth,
        },
      ],
      notes: [
        `The resident memory of the process, each second for ${soakSeconds} s, from its start on, while calls of four ` +
          "kinds are under way all the time: 48 CreateTaskExecution, 16 GetTaskExecution, 2 BatchCreateTaskExecutions " +
          "of 100 and 2 ListTaskExecutions of 50 with payloads left out.",
      ],
      duration: `${soakSeconds} s`,
    };
  },
};

/** Keeps a service as busy as it can be. Returns what it did. */
async function load({ ledger }: Service, seconds: number): Promise<{ name: string; rate: number }[]> {
  const runs = await createExternalRuns(ledger, spread);
  const reports = new Reports(runs);
  const ids = await createBatch(ledger, reports, 1000);
  const kinds: [name: string, inFlight: number, work: () => Promise<number>][] = [
    ["CreateTaskExecution, calls/s", 48, () => createOne(ledger, reports)],
    ["GetTaskExecution, calls/s", 16, () => getOne(ledger, ids)],
    [
      "BatchCreateTaskExecutions, records/s",
      2,
      () => createBatch(ledger, reports, 100).then(({ length }) => length),
    ],
    ["ListTaskExecutions, calls/s", 2, () => ledger.tasks.listTaskExecutions({}).then(() => 1)],
  ];
  return Promise.all(
    kinds.map(async ([name, inFlight, work]) => ({ name, rate: await rateOf(inFlight, seconds, work) })),
  );
}

/** Returns the resident memory of a process, in megabytes of 2^20 bytes. */
async function residentMegabytes(pid: number): Promise<number> {
  if (process.platform !== "linux") {
    const { stdout } = await promisify(execFile)("ps", ["-o", "rss=", "-p", String(pid)]);
    return Number(stdout) / 1024;
  }
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}
