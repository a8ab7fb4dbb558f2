import { atLeast, bestOf, compare } from "../harness/compare.ts";
import { settle } from "../harness/database.ts";
import type { Figure } from "../harness/figure.ts";
import { startService } from "../harness/service.ts";
import { createExternalRuns, Reports, spread } from "../scene/external-runs.ts";
import { inARow, ingest, mostUnacknowledged } from "../scene/ingest-stream.ts";
import { aboutRaw, openRawInserts } from "../yardsticks/raw-insert.ts";

const batchSize = 100;
const unit = "records/s";

/** Records that are streamed, against inserts of a hundred rows past the service. */
export const ingestStream: Figure = {
  name: "ingest",
  title: "IngestTaskExecutions",
  async measure(options, progress) {
    await using service = await startService();
    const { ledger, database } = service;
    const runs = await createExternalRuns(ledger, spread);
    const reports = new Reports(runs);
    await using raw = await openRawInserts(database, runs, batchSize, unit);
    const streams = (count: number) => ({
      name: `${count} at once`,
      run: async (seconds: number) => {
        const rates = await Promise.all(
          Array.from({ length: count }, () => ingest(ledger, reports, seconds)),
        );
        return { [unit]: rates.reduce((sum, rate) => sum + rate, 0) };
      },
    });
    return await compare(
      {
        contenders: [
          bestOf(
            "IngestTaskExecutions",
            "streams of reports, each of which makes a new completed record and its event; " +
              `${inARow} in a row for one run, in turn for ${spread} runs; ` +
              `at most ${mostUnacknowledged} of a stream unacknowledged.`,
            unit,
            [2, 4, 8].map(streams),
          ),
          bestOf("raw insert", `${batchSize} at once: ${aboutRaw}`, unit, raw.variants),
        ],
        requirements: [
          atLeast(0.5, "IngestTaskExecutions", "raw insert", unit),
          {
            name: `IngestTaskExecutions, ${unit}`,
            least: 20_000,
            of: (round) => round("IngestTaskExecutions", unit),
          },
        ],
        settle: () => settle(database),
      },
      options,
      progress,
    );
  },
};
