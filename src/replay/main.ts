import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { findAddress, openLedger } from "../client/ledger.ts";
import { createProgressBar } from "../client/progress-bar.ts";
import { readRecording } from "../import/recording.ts";
import { type ReplayResult, replay } from "./replay.ts";

// `npm run replay -- FILE.json`: plays a recorded run with a fleet of worker processes.
const usage = `usage: npm run replay -- FILE.json [--workers N] [--concurrency N] [--scale S]

  --workers      how many worker processes; 4
  --concurrency  how many tasks each of them does at the same time; 25
  --scale        by how much the recorded time of tasks is scaled; 0.001, and 0 for none

The service is the one at TASKLEDGER_URL, else http://127.0.0.1:8080; the key is TASKLEDGER_KEY, else the one that
npm start made on this machine.
`;

/** How many violations are printed: enough to see what is wrong. */
const shownWrong = 20;

process.exitCode = await run().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  return 1;
});

async function run(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      workers: { type: "string", default: "4" },
      concurrency: { type: "string", default: "25" },
      scale: { type: "string", default: "0.001" },
    },
  });
  const [file] = positionals;
  const [workers, concurrency, scale] = [values.workers, values.concurrency, values.scale].map(Number);
  const isCount = (value: number | undefined) => Number.isInteger(value) && value! >= 1 && value! <= 1000;
  if (
    file === undefined ||
    positionals.length > 1 ||
    !isCount(workers) ||
    !isCount(concurrency) ||
    !(scale! >= 0)
  ) {
    process.stderr.write(usage);
    return 2;
  }
  const recording = readRecording(readFileSync(file, "utf8"));
  const bar = createProgressBar();
  bar.start(recording.levels.flat().length, 0);
  try {
    const result = await replay(openLedger(findAddress()), recording, {
      workers: workers!,
      concurrency: concurrency!,
      scale: scale!,
      onProgress: (completed) => bar.update(completed),
    });
    bar.update(result.figures.completed);
    bar.stop();
    process.stdout.write(summary(recording.name, result));
    return result.wrong.length === 0 ? 0 : 1;
  } finally {
    bar.stop();
  }
}

function summary(name: string, { flowExecutionId, tasks, seconds, figures, wrong }: ReplayResult): string {
  const { claims, refused, lost, troubles } = figures;
  const lines = [
    `${name}, run ${flowExecutionId}`,
    `${tasks} tasks in ${seconds.toFixed(2)} s: ${Math.round(tasks / seconds)} a second, in ${claims} claims`,
    `${refused} results refused, ${lost} leases lost, ${troubles} calls repeated`,
  ];
  if (wrong.length === 0) {
    lines.push("by the event log every task completed once, and none before its parents");
  } else {
    lines.push(`${wrong.length} violations:`, ...wrong.slice(0, shownWrong).map((line) => `  ${line}`));
  }
  return `${lines.join("\n")}\n`;
}
