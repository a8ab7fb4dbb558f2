import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { findKey } from "../client/bootstrap-key.ts";
import { createProgressBar } from "../client/progress-bar.ts";
import { connect } from "./grpc-client.ts";
import { type ImportResult, importRecording } from "./import.ts";

// `npm run import -- FILE.json`: records a run that is recorded in WfFormat 1.5.
const usage = `usage: npm run import -- FILE.json [--address HOST:PORT] [--key KEY]

  --address  the service; TASKLEDGER_ADDRESS, else 127.0.0.1:8080
  --key      an API key with the role admin; TASKLEDGER_KEY, else the one that npm start made on this machine
`;

/** How many refusals are printed: enough to see what is wrong. */
const shownRefusals = 20;

process.exitCode = await run().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  return 1;
});

async function run(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { address: { type: "string" }, key: { type: "string" } },
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) {
    process.stderr.write(usage);
    return 2;
  }
  const text = readFileSync(file, "utf8");
  const client = connect(
    values.address ?? (process.env["TASKLEDGER_ADDRESS"] || "127.0.0.1:8080"),
    findKey(values.key),
  );
  const bar = createProgressBar();
  const begin = performance.now();
  try {
    bar.start(0, 0);
    const result = await importRecording(client, text, (done, tasks) => {
      bar.setTotal(tasks);
      bar.update(done);
    });
    bar.stop();
    process.stdout.write(summary(result, (performance.now() - begin) / 1000));
    return result.refused.length === 0 ? 0 : 1;
  } finally {
    bar.stop();
    client.close();
  }
}

function summary(result: ImportResult, seconds: number): string {
  const { flow, flowExecutionId, runNumber, created, movedOn, unchanged, refused } = result;
  const tasks = created + movedOn + unchanged;
  const lines = [
    `flow ${flow.name} (${flow.id}), run ${runNumber} (${flowExecutionId})`,
    `${tasks} tasks in ${seconds.toFixed(1)} s: ${created} created, ${movedOn} moved on, ${unchanged} unchanged`,
  ];
  if (created + movedOn === 0 && refused.length === 0) {
    lines.push("everything was recorded already: nothing was changed");
  }
  if (refused.length > 0) {
    lines.push(
      `${refused.length} reports were refused:`,
      ...refused.slice(0, shownRefusals).map((line) => `  ${line}`),
    );
  }
  return `${lines.join("\n")}\n`;
}
