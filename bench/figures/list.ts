import { compare, type Requirement } from "../harness/compare.ts";
import { settle } from "../harness/database.ts";
import type { Figure } from "../harness/figure.ts";
import type { Ledger } from "../harness/ledger.ts";
import { latencyOf } from "../harness/load.ts";
import { startService } from "../harness/service.ts";
import { createBatch, createExternalRuns, getOne, Reports } from "../scene/external-runs.ts";
import { storeHistory } from "../scene/history.ts";

const pageSize = 50;
const farPage = 1000;

/** Pages of a long list, near and far, against the read of one record in an empty ledger. */
export const list: Figure = {
  name: "full-list",
  title: "Pages of a list of 5,000,000 records",
  async measure(options, progress) {
    await using empty = await startService();
    await using full = await startService();
    const [emptyRun] = await createExternalRuns(empty.ledger, 1);
    const ids = await createBatch(empty.ledger, new Reports([emptyRun!]), 1);
    const [run] = await createExternalRuns(full.ledger, 1);
    await storeHistory(full.database, run!, options.records, progress);
    const far = await tokenOf(full.ledger, Math.min(farPage, options.records / pageSize));
    const page = (name: string, pageToken: string) => ({
      name,
      about: () =>
        `ListTaskExecutions without a filter, ${pageSize} records in VIEW_BASIC, one call at a time.`,
      run: async (seconds: number) => ({
        ...(await latencyOf(seconds, () => readPage(full.ledger, pageToken))),
      }),
    });
    return await compare(
      {
        contenders: [
          page("first page", ""),
          page(`page ${farPage}`, far),
          {
            name: "empty Get",
            about: () => "GetTaskExecution from a second service that has one record, one call at a time.",
            run: async (seconds) => ({
              ...(await latencyOf(seconds, () => getOne(empty.ledger, ids))),
            }),
          },
        ],
        requirements: [farther, p99("first page"), p99(`page ${farPage}`)],
        settle: () => settle(full.database),
      },
      options,
      progress,
    );
  },
};

const farther: Requirement = {
  name: "slower of the two pages / the other, medians",
  most: 1.3,
  of: (round) => {
    const ratio = round(`page ${farPage}`, "median ms") / round("first page", "median ms");
    return Math.max(ratio, 1 / ratio);
  },
};

function p99(contender: string): Requirement {
  return {
    name: `p99 of ${contender} / median of empty Get`,
    most: 20,
    of: (round) => round(contender, "p99 ms") / round("empty Get", "median ms"),
  };
}

/** Reads a page, makes sure that it is full, and returns the token of the next one. */
async function readPage({ tasks }: Ledger, pageToken: string): Promise<string> {
  const { taskExecutions, nextPageToken } = await tasks.listTaskExecutions({ pageSize, pageToken });
  if (taskExecutions.length !== pageSize) throw new Error(`a page of ${taskExecutions.length} records`);
  return nextPageToken;
}

/** Follows the tokens up to the one of a page, from 1. */
async function tokenOf(ledger: Ledger, page: number): Promise<string> {
  let token = "";
  for (let turned = 1; turned < page; turned++) token = await readPage(ledger, token);
  return token;
}
