import { setImmediate } from "node:timers/promises";
import { sql } from "kysely";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { defaultDatabaseLimits, openOrm } from "../../src/db/orm.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database?.close());

const connections = () =>
  asSuperuser(
    database.superuserUrl,
    "select pid from pg_stat_activity where datname = current_database() and application_name = 'taskledger'",
  );

// A service that is told to stop while its calls make the pool grow: the first read has its connection, and the others
// wait for theirs. How far these have come differs from round to round.
test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])(
  "closing ends although connections are being made, %i turns after they were asked for",
  { timeout: 5000 },
  async (turns) => {
    const limits = { ...defaultDatabaseLimits, acquireTimeoutMs: 1000 };
    const orm = await openOrm(database.serviceUrl, limits, pino({ level: "silent" }));
    const read = () =>
      sql<{ answer: number }>`select 42 as answer`.execute(orm.em.fork().getKysely()).then(
        ({ rows }) => rows[0]?.answer,
        () => "refused",
      );
    expect(await read()).toBe(42);
    const reads = Promise.all(Array.from({ length: 6 }, read));
    for (let turn = 0; turn < turns; turn++) await setImmediate();
    await orm.close(true);
    for (const outcome of await reads) expect([42, "refused"]).toContain(outcome);
    await expect.poll(connections, { interval: 10, timeout: 1000 }).toEqual([]);
  },
);
