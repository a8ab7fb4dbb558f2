import { atLeast, type Contender, compare } from "../harness/compare.ts";
import { settle } from "../harness/database.ts";
import type { Figure } from "../harness/figure.ts";
import { rateOf } from "../harness/load.ts";
import { startService } from "../harness/service.ts";
import { createBatch, createExternalRuns, createOne, Reports, spread } from "../scene/external-runs.ts";

const batchSize = 100;
const unit = "records/s";

/** Records that all belong to one run, against records of many. */
export const hotRun: Figure = {
  name: "hot-run",
  title: `One hot flow execution, against records spread over ${spread}`,
  async measure(options, progress) {
    await using service = await startService();
    const { ledger, database } = service;
    const many = new Reports(await createExternalRuns(ledger, spread));
    const one = new Reports(await createExternalRuns(ledger, 1));
    const unary = (name: string, reports: Reports): Contender => ({
      name,
      about: () => "CreateTaskExecution, 64 in flight.",
      run: async (seconds) => ({ [unit]: await rateOf(64, seconds, () => createOne(ledger, reports)) }),
    });
    const batch = (name: string, reports: Reports): Contender => ({
      name,
      about: () => `BatchCreateTaskExecutions of ${batchSize}, each for one run, 4 in flight.`,
      run: async (seconds) => ({
        [unit]: await rateOf(4, seconds, () =>
          createBatch(ledger, reports, batchSize).then(({ length }) => length),
        ),
      }),
    });
    return await compare(
      {
        contenders: [
          unary("unary, one run", one),
          unary("unary, spread", many),
          batch("batch, one run", one),
          batch("batch, spread", many),
        ],
        requirements: [
          atLeast(0.4, "unary, one run", "unary, spread", unit),
          atLeast(0.4, "batch, one run", "batch, spread", unit),
        ],
        settle: () => settle(database),
      },
      options,
      progress,
    );
  },
};
