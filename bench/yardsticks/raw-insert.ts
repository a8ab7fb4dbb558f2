import { randomUUIDv7 } from "node:crypto";
import type { Client } from "pg";
import type { FlowExecution } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import type { Variant } from "../harness/compare.ts";
import { connect, type DatabaseUrls } from "../harness/database.ts";
import { rateOf } from "../harness/load.ts";
import { input, output } from "../scene/payload.ts";
import { copyOrganization } from "../scene/second-organization.ts";
import { type RawRun, rawForms, rawStatement, rawValues } from "./raw-statement.ts";

/** How many connections are tried. */
const connections = [1, 2, 4];

/** What the raw inserts are, for the results. */
export const aboutRaw =
  "one prepared statement a transaction inserts the records and an event for each into the tables of the service, " +
  "as the role of the service under its row-level policies, and nothing else: nothing is looked up, counted, decided " +
  "or locked. In turn in as many runs, with node-postgres, in the process that measures.";

/** A run that is written to past the service. */
interface Target extends RawRun {
  count: number;
}

/** The ways of inserting that are tried, over connections of the role of a service. */
export interface RawInserts extends AsyncDisposable {
  readonly variants: readonly Variant[];
}

/** Opens connections for inserts of batches into copies of runs. */
export async function openRawInserts(
  database: DatabaseUrls,
  runs: readonly FlowExecution[],
  batchSize: number,
  unit: string,
): Promise<RawInserts> {
  const organizationId = await copyOrganization(database, runs[0]!.organizationId);
  const targets = runs.map(({ id, flowId }): Target => {
    const feedShard = Number.parseInt(id.at(-1)!, 16);
    return { organizationId, flowExecutionId: id, flowId, feedShard, subject: id, count: 0 };
  });
  const clients = await Promise.all(
    Array.from({ length: Math.max(...connections) }, () => connect(database.serviceUrl)),
  );
  const begin = `begin; select set_config('app.organization_id', '${organizationId}', true)`;
  const texts = { input: JSON.stringify(input), output: JSON.stringify(output) };
  const positions = new Map<number, number>();
  let turn = 0;

  function next(target: Target) {
    const position = (positions.get(target.feedShard) ?? 0) + 1;
    positions.set(target.feedShard, position);
    const idx = target.count++;
    return { id: randomUUIDv7(), idx, ...texts, revision: idx + 1, feedPosition: position };
  }

  async function insert(client: Client, form: (typeof rawForms)[number]): Promise<number> {
    const target = targets[turn++ % targets.length]!;
    const records = Array.from({ length: batchSize }, () => next(target));
    await client.query(begin);
    await client.query({
      name: form.name,
      text: rawStatement(form, batchSize),
      values: rawValues(form, target, records),
    });
    await client.query("commit");
    return batchSize;
  }

  const variants = connections.flatMap((count) =>
    rawForms.map((form) => ({
      name: `${form.name} on ${count} connection${count > 1 ? "s" : ""}`,
      run: async (seconds: number) => ({
        [unit]: await rateOf(count, seconds, (loop) => insert(clients[loop]!, form)),
      }),
    })),
  );
  return {
    variants,
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map((client) => client.end()));
    },
  };
}
