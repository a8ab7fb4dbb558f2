import { atLeast, type Contender, compare } from "../harness/compare.ts";
import { settle } from "../harness/database.ts";
import type { Figure } from "../harness/figure.ts";
import { rateOf } from "../harness/load.ts";
import { Refill } from "../harness/refill.ts";
import { type Service, startService } from "../harness/service.ts";
import { createExternalRuns } from "../scene/external-runs.ts";
import { storeHistory } from "../scene/history.ts";
import { claimSize, TaskQueue } from "../scene/task-queue.ts";

const unit = "tasks/s";

/** How many workers claim and report at once. */
const workers = 4;

/** Tasks claimed and reported where there are millions of records, against an empty ledger. */
export const claimReportFull: Figure = {
  name: "full-claim-report",
  title: "Claim and report with 5,000,000 records present",
  async measure(options, progress) {
    await using empty = await startService();
    await using full = await startService();
    const [run] = await createExternalRuns(full.ledger, 1);
    await storeHistory(full.database, run!, options.records, progress);
    return await compare(
      {
        contenders: [
          await contender("full", `beside ${options.records} ended records with an event each.`, full),
          await contender(
            "empty",
            "a second service with a PostgreSQL of its own and no other records.",
            empty,
          ),
        ],
        requirements: [atLeast(0.85, "full", "empty", unit)],
      },
      options,
      progress,
    );
  },
};

async function contender(name: string, about: string, { ledger, database }: Service): Promise<Contender> {
  const queue = await TaskQueue.create(ledger);
  const refill = new Refill(
    (depth) => queue.fill(depth),
    () => settle(database),
    4000,
  );
  const work = (seconds: number) => rateOf(workers, seconds, (worker) => queue.work(worker));
  return {
    name,
    about: () => `${workers} workers that claim and report ${claimSize}, ${about}`,
    run: async (seconds) => ({ [unit]: await refill.measure(seconds, work) }),
  };
}
