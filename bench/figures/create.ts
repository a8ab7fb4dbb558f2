import { atLeast, type Contender, compare } from "../harness/compare.ts";
import { settle } from "../harness/database.ts";
import type { Figure } from "../harness/figure.ts";
import { rateOf } from "../harness/load.ts";
import { startService } from "../harness/service.ts";
import { createExternalRuns, createOne, Reports, spread } from "../scene/external-runs.ts";
import { aboutEcho, startEcho } from "../yardsticks/echo.ts";
import { aboutGraphile, startGraphile } from "../yardsticks/graphile-worker.ts";
import { aboutBoss, startBoss } from "../yardsticks/pg-boss.ts";

const inFlight = 64;
const unit = "calls/s";

/** Records created one by one, against an echo and against what job queues do in process. */
export const create: Figure = {
  name: "create",
  title: "Unary CreateTaskExecution, 64 in flight",
  async measure(options, progress) {
    await using service = await startService();
    const { ledger, database } = service;
    const reports = new Reports(await createExternalRuns(ledger, spread));
    await using echo = await startEcho(ledger, reports);
    await using boss = await startBoss(database);
    await using graphile = await startGraphile(database, 10);
    const contender = (name: string, about: string, work: () => Promise<number>): Contender => ({
      name,
      about: () => about,
      run: async (seconds) => ({ [unit]: await rateOf(inFlight, seconds, work) }),
    });
    return await compare(
      {
        contenders: [
          contender(
            "CreateTaskExecution",
            `each call makes a new completed record and its event under row-level security, in turn in ${spread} runs.`,
            () => createOne(ledger, reports),
          ),
          contender("echo", aboutEcho, async () => {
            await echo.ledger.tasks.createTaskExecution(reports.next(1)[0]!);
            return 1;
          }),
          contender("pg-boss send", aboutBoss, boss.send),
          contender("graphile-worker addJob", aboutGraphile, graphile.addJob),
        ],
        requirements: [
          atLeast(0.6, "CreateTaskExecution", "echo", unit),
          atLeast(1, "CreateTaskExecution", "pg-boss send", unit),
          atLeast(1, "CreateTaskExecution", "graphile-worker addJob", unit),
        ],
        settle: () => settle(database),
      },
      options,
      progress,
    );
  },
};
