/**
 * Creates one new key fifty times at once through two service processes, for many rounds: each round makes one
 * row and one CREATED, all get its id, nobody deadlocks and nothing is internal.
 *
 * Usage: node test/hazards/create-race.ts [rounds = 200]
 */
import { Client } from "pg";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { givenRun } from "../runs.ts";
import { startServiceProcess } from "../service.ts";
import { raceCreates } from "../task-execution/create-race.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const rounds = Number(process.argv[2] ?? 200);
const calls = 50;

await using database = await startScriptDatabase();
await using one = await startServiceProcess(database.serviceUrl, { LOG_LEVEL: "info" });
await using two = await startServiceProcess(database.serviceUrl, { LOG_LEVEL: "info" });
const clients = [one, two].map((service) => service.client(TaskExecutionService));
const tally: Record<string, number> = {};
let split = 0;
const times: number[] = [];

for (let round = 0; round < rounds; round++) {
  const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
  const start = performance.now();
  const { ids, outcomes } = await raceCreates(clients, flowExecutionId, calls);
  times.push(performance.now() - start);
  for (const [outcome, count] of Object.entries(outcomes)) {
    tally[outcome] = (tally[outcome] ?? 0) + count;
  }
  split += ids.size === 1 && outcomes["CREATED"] === 1 ? 0 : 1;
}

const { records, events, deadlocks } = await figures();
times.sort((a, b) => a - b);
print(`${rounds} rounds of ${calls} creates: ${JSON.stringify(tally)}`);
print(`     a round takes ${times[rounds >> 1]!.toFixed(0)} ms, the slowest ${times.at(-1)!.toFixed(0)} ms`);
check(records === rounds, `${records} rows of ${rounds}`);
check(events === rounds, `${events} events of ${rounds}`);
check(split === 0, `${split} rounds with more than one id or CREATED`);
check(
  tally["CREATED"] === rounds && tally["UNCHANGED"] === rounds * (calls - 1),
  `${(tally["CREATED"] ?? 0) + (tally["UNCHANGED"] ?? 0)} of ${rounds * calls} calls answered OK`,
);
check(deadlocks === 0, `${deadlocks} deadlocks`);
check(one.isAlive() && two.isAlive(), "both processes are still the same");

async function figures(): Promise<Record<"records" | "events" | "deadlocks", number>> {
  const url = new URL(database.superuserUrl);
  url.pathname = new URL(database.serviceUrl).pathname;
  const client = new Client({ connectionString: url.href });
  await client.connect();
  try {
    const { rows } = await client.query(`
      select
        (select count(*)::int from task_execution) as records,
        (select count(*)::int from event) as events,
        (select deadlocks::int from pg_stat_database where datname = current_database()) as deadlocks
    `);
    return rows[0];
  } finally {
    await client.end();
  }
}
