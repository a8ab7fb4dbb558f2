import { atLeast, compare } from "../harness/compare.ts";
import { settle } from "../harness/database.ts";
import type { Figure } from "../harness/figure.ts";
import type { Ledger } from "../harness/ledger.ts";
import { rateOf } from "../harness/load.ts";
import { startService } from "../harness/service.ts";
import { createBatch, createExternalRuns, getOne, Reports, spread } from "../scene/external-runs.ts";
import { aboutEcho, startEcho } from "../yardsticks/echo.ts";

const inFlight = 64;
const unit = "calls/s";

/** How many records there are to get: too many to be asked for twice in a moment. */
const records = 20_000;

/** Records read one by one, against an echo. */
export const get: Figure = {
  name: "get",
  title: "Unary GetTaskExecution, 64 in flight",
  async measure(options, progress) {
    await using service = await startService();
    const { ledger, database } = service;
    const reports = new Reports(await createExternalRuns(ledger, spread));
    await using echo = await startEcho(ledger, reports);
    const ids: string[] = [];
    while (ids.length < records) ids.push(...(await createBatch(ledger, reports, 1000)));
    const rate = async (target: Ledger, seconds: number) => ({
      [unit]: await rateOf(inFlight, seconds, () => getOne(target, ids)),
    });
    return await compare(
      {
        contenders: [
          {
            name: "GetTaskExecution",
            about: () => `by id, at random among ${records} records.`,
            run: (seconds) => rate(ledger, seconds),
          },
          { name: "echo", about: () => aboutEcho, run: (seconds) => rate(echo.ledger, seconds) },
        ],
        requirements: [atLeast(0.6, "GetTaskExecution", "echo", unit)],
        settle: () => settle(database),
      },
      options,
      progress,
    );
  },
};
