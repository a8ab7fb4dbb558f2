import { compare } from "../harness/compare.ts";
import { settle } from "../harness/database.ts";
import type { Figure } from "../harness/figure.ts";
import { latencyOf } from "../harness/load.ts";
import { type Service, startService } from "../harness/service.ts";
import { createExternalRuns, createOne, Reports, spread } from "../scene/external-runs.ts";

const coalesced = "coalescing";
const alone = "a transaction each";

/** A record created while nothing else goes on, against a server that does not wait for company. */
export const loneCreate: Figure = {
  name: "lone-create",
  title: "Latency of a lone CreateTaskExecution",
  async measure(options, progress) {
    await using service = await startService();
    await using plain = await startService({ beside: service, env: { LIMIT_BATCH_RECORDS: "0" } });
    const reports = new Reports(await createExternalRuns(service.ledger, spread));
    const contender = (name: string, about: string, { ledger }: Service) => ({
      name,
      about: () => `one call at a time, ${about}`,
      run: async (seconds: number) => ({ ...(await latencyOf(seconds, () => createOne(ledger, reports))) }),
    });
    return await compare(
      {
        contenders: [
          contender(coalesced, "as the service is.", service),
          contender(
            alone,
            "a second service on the same database with `LIMIT_BATCH_RECORDS=0`: every call has a transaction of its own.",
            plain,
          ),
        ],
        requirements: [
          {
            name: `${coalesced} / ${alone}, medians`,
            most: 1.05,
            of: (round) => round(coalesced, "median ms") / round(alone, "median ms"),
          },
        ],
        settle: () => settle(service.database),
      },
      options,
      progress,
    );
  },
};
