/**
 * Sixteen writers of one organization: what taking places in its feed costs against inserting the same events with
 * places that nobody had to take, in turns within one run, so that a busy machine slows both. Both are sent in the same
 * way, together with the commit.
 *
 * Usage: node test/hazards/feed-throughput.ts [seconds = 20]
 */
import { sql } from "kysely";
import { pino } from "pino";
import { forOrganization } from "../../src/db/organization.ts";
import { defaultDatabaseLimits, openOrm } from "../../src/db/orm.ts";
import { unread } from "../../src/db/statement.ts";
import { insertEvents } from "../../src/task-execution/event-statements.ts";
import { lockRuns, updateRuns } from "../../src/task-execution/run-statements.ts";
import { givenOrganization } from "../database.ts";
import { givenRun } from "../runs.ts";
import { eventRow } from "../watch/event-row.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const seconds = Number(process.argv[2] ?? 20);
const writers = 16;
const rounds = 5;
const leastRatio = 0.5;

await using database = await startScriptDatabase();
const silent = pino({ level: "silent" });
// Patient, as a busy machine only makes both slow.
const patient = { acquireTimeoutMs: 30_000, lockTimeoutMs: 30_000, statementTimeoutMs: 30_000 };
const limits = { ...defaultDatabaseLimits, ...patient, pool: writers };
const orm = await openOrm(database.serviceUrl, limits, silent);
const organizationId = await givenOrganization(orm);
const ids: string[] = [];
for (let count = 0; count < 200; count++) {
  ids.push((await givenRun(orm, organizationId, ["task"])).flowExecutionId);
}
let untaken = 1_000_000_000;

/** Writes one event as the write path does: locks the run, counts its revision, stores both. */
async function write(id: string, isFed: boolean): Promise<void> {
  await forOrganization(orm, organizationId).transactional(async (em) => {
    const [run] = await lockRuns(em, organizationId, [id]);
    run!.revision++;
    await updateRuns(em, organizationId, [run!], new Date());
    const time = new Date();
    if (isFed) {
      const event = eventRow(id, String(run!.revision), "tag");
      await insertEvents(em, organizationId, [event], time);
    } else {
      const position = untaken++;
      await sql`${unread("insert_unplaced_event")}
        insert into event (
          organization_id, flow_execution_id, revision, type, to_status, actor_subject, actor_kind, actor_key_name,
          reason, request_id, changed_fields, create_time, feed_shard, feed_position
        )
        select ${organizationId}::uuid, ${id}::uuid, ${String(run!.revision)}::bigint, 'tag', 'queued', '', '', '', '',
          '', '[]', ${time.toISOString()}::timestamptz, ${position % 16}, ${position}
      `.execute(em.getKysely());
    }
  });
}

/** Returns how many events a second sixteen writers write. */
async function rateOf(among: readonly string[], isFed: boolean, durationMs: number): Promise<number> {
  const begin = performance.now();
  let written = 0;
  const writing = Array.from({ length: writers }, async () => {
    while (performance.now() - begin < durationMs) {
      await write(among[Math.floor(Math.random() * among.length)]!, isFed);
      written++;
    }
  });
  await Promise.all(writing);
  return written / ((performance.now() - begin) / 1000);
}

for (const [name, among] of [
  ["spread over 200 runs", ids],
  ["to one run", ids.slice(0, 1)],
] as const) {
  const rates = { fed: 0, unfed: 0 };
  for (let round = 0; round < rounds; round++) {
    const durationMs = (seconds * 1000) / (4 * rounds);
    rates.unfed += (await rateOf(among, false, durationMs)) / rounds;
    rates.fed += (await rateOf(among, true, durationMs)) / rounds;
  }
  const ratio = rates.fed / rates.unfed;
  print(
    `     ${name}: ${rates.unfed.toFixed(0)} commits/s without places, ${rates.fed.toFixed(0)} with them`,
  );
  check(ratio >= leastRatio, `${name}: ${(ratio * 100).toFixed(0)} % of the rate`);
}
await orm.close(true);
