import { atLeast, bestOf, type Contender, compare } from "../harness/compare.ts";
import { settle } from "../harness/database.ts";
import type { Figure } from "../harness/figure.ts";
import { rateOf } from "../harness/load.ts";
import { Refill } from "../harness/refill.ts";
import { startService } from "../harness/service.ts";
import { claimSize, TaskQueue } from "../scene/task-queue.ts";
import { aboutGraphile, startGraphile } from "../yardsticks/graphile-worker.ts";
import { aboutBoss, startBoss } from "../yardsticks/pg-boss.ts";

const unit = "tasks/s";

/** Tasks claimed and reported, against what job queues do in process. */
export const claimReport: Figure = {
  name: "claim-report",
  title: `Claim and report of ${claimSize}, with the next claim in the same call`,
  async measure(options, progress) {
    await using service = await startService();
    const { database } = service;
    const queue = await TaskQueue.create(service.ledger);
    await using boss = await startBoss(database);
    await using graphile = await startGraphile(database, 10);
    const contender = (
      name: string,
      about: string,
      fill: (depth: number) => Promise<void>,
      guess: number,
      counts: readonly number[],
      work: (count: number, seconds: number) => Promise<number>,
    ): Contender => {
      const refill = new Refill(fill, () => settle(database), guess);
      const variants = counts.map((count) => ({
        name: `${count} at once`,
        run: async (seconds: number) => ({
          [unit]: await refill.measure(seconds, (duration) => work(count, duration)),
        }),
      }));
      return bestOf(name, about, unit, variants);
    };
    return await compare(
      {
        contenders: [
          contender(
            "claim and report",
            "workers report what they hold, each with an output, and claim as many with the same call. The tasks are " +
              "the items of loops of managed runs, 1,000 each; the runs end when all of theirs are reported.",
            (depth) => queue.fill(depth),
            4000,
            [2, 4, 8],
            (count, seconds) => rateOf(count, seconds, (worker) => queue.work(worker)),
          ),
          contender(
            "pg-boss fetch and complete",
            `\`fetch\` of ${claimSize} and \`complete\` of their ids, without outputs; ${aboutBoss}`,
            boss.fill,
            25_000,
            [1, 2, 4, 8],
            (count, seconds) => rateOf(count, seconds, () => boss.work(claimSize)),
          ),
          contender(
            "graphile-worker run",
            `its run loop with a task that does nothing; ${aboutGraphile}`,
            graphile.fill,
            50_000,
            [4, 10, 24],
            (count, seconds) => graphile.runJobs(seconds, count),
          ),
        ],
        requirements: [
          atLeast(1, "claim and report", "pg-boss fetch and complete", unit),
          atLeast(1, "claim and report", "graphile-worker run", unit),
        ],
      },
      options,
      progress,
    );
  },
};
