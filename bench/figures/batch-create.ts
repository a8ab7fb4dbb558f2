import { atLeast, bestOf, compare } from "../harness/compare.ts";
import { settle } from "../harness/database.ts";
import type { Figure } from "../harness/figure.ts";
import { rateOf } from "../harness/load.ts";
import { startService } from "../harness/service.ts";
import { createBatch, createExternalRuns, Reports, spread } from "../scene/external-runs.ts";
import { aboutBoss, startBoss } from "../yardsticks/pg-boss.ts";
import { aboutRaw, openRawInserts } from "../yardsticks/raw-insert.ts";

const batchSize = 100;
const unit = "records/s";

/** Records created a hundred at a time, against inserts of as many rows past the service. */
export const batchCreate: Figure = {
  name: "batch-create",
  title: `BatchCreateTaskExecutions of ${batchSize}`,
  async measure(options, progress) {
    await using service = await startService();
    const { ledger, database } = service;
    const runs = await createExternalRuns(ledger, spread);
    const reports = new Reports(runs);
    await using raw = await openRawInserts(database, runs, batchSize, unit);
    await using boss = await startBoss(database);
    const inFlight = (count: number, work: () => Promise<number>) => ({
      name: `${count} in flight`,
      run: async (seconds: number) => ({ [unit]: await rateOf(count, seconds, work) }),
    });
    return await compare(
      {
        contenders: [
          bestOf(
            "BatchCreateTaskExecutions",
            `each call makes ${batchSize} new completed records and their events in one run, in turn in ${spread} runs.`,
            unit,
            [4, 8, 16].map((count) =>
              inFlight(count, () => createBatch(ledger, reports, batchSize).then(({ length }) => length)),
            ),
          ),
          bestOf("raw insert", aboutRaw, unit, raw.variants),
          bestOf(
            "pg-boss insert",
            `\`insert\` of ${batchSize} jobs with the input alone, ${aboutBoss}`,
            unit,
            [1, 2, 4].map((count) => inFlight(count, () => boss.insert(batchSize))),
          ),
        ],
        requirements: [
          atLeast(0.5, "BatchCreateTaskExecutions", "raw insert", unit),
          {
            name: `BatchCreateTaskExecutions, ${unit}`,
            least: 20_000,
            of: (round) => round("BatchCreateTaskExecutions", unit),
          },
        ],
        settle: () => settle(database),
      },
      options,
      progress,
    );
  },
};
