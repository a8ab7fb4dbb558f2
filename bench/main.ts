import { parseArgs } from "node:util";
import { figures } from "./figures.ts";
import { endAll } from "./harness/children.ts";
import type { Options } from "./harness/figure.ts";
import { describeMachine } from "./harness/machine.ts";
import { toMarkdown } from "./harness/report.ts";
import { writeResults } from "./harness/results-file.ts";

/** What counts. Runs with less are for trying things, and are printed only. */
const defaults: Options = { rounds: 5, seconds: 3, records: 5_000_000, soakSeconds: 300 };

const usage = `Usage: npm run bench -- [options] [NAME...]

Measures the figures whose names contain one of the NAMEs, or all of them, and writes bench/results.md.

  --list            list the figures
  --rounds N        count N rounds (${defaults.rounds})
  --seconds N       let each contender run N seconds a round (${defaults.seconds})
  --records N       fill a full ledger with N records (${defaults.records})
  --soak-seconds N  watch the memory of the service for N seconds (${defaults.soakSeconds})

With less than the defaults the results are printed and not written.
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: "boolean" },
    list: { type: "boolean" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    records: { type: "string" },
    "soak-seconds": { type: "string" },
  },
});

const options: Options = {
  rounds: Number(values.rounds ?? defaults.rounds),
  seconds: Number(values.seconds ?? defaults.seconds),
  records: Number(values.records ?? defaults.records),
  soakSeconds: Number(values["soak-seconds"] ?? defaults.soakSeconds),
};

const chosen = figures.filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);

/** Measures what was chosen. Returns whether all that is required was reached. */
async function measure(): Promise<boolean> {
  const counts = (Object.keys(defaults) as (keyof Options)[]).every(
    (name) => options[name] >= defaults[name],
  );
  const machine = await describeMachine();
  process.stdout.write(`${machine}\n\n`);
  let met = true;
  for (const figure of chosen) {
    const progress = (line: string) => process.stderr.write(`${figure.name}: ${line}\n`);
    const findings = await figure.measure(options, progress);
    const section = toMarkdown(figure, findings);
    process.stdout.write(`${section.text}\n`);
    met &&= section.met;
    if (counts) await writeResults(figures, figure, section.text, machine);
  }
  return met;
}

if (values.help) {
  process.stdout.write(usage);
} else if (values.list) {
  process.stdout.write(figures.map(({ name, title }) => `${name.padEnd(16)} ${title}\n`).join(""));
} else if (chosen.length === 0) {
  process.stderr.write(`No figure is named ${positionals.join(", ")}: see --list\n`);
  process.exitCode = 2;
} else {
  // Whoever reads may go first: then nobody reads the rest, and all else goes on.
  process.stdout.on("error", () => {});
  process.stderr.on("error", () => {});
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => endAll().finally(() => process.exit(1)));
  }
  try {
    process.exitCode = (await measure()) ? 0 : 1;
  } finally {
    await endAll();
  }
}
