import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Intercom } from "../../src/dispatch/intercom.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database.close());

// Each call was a query of its own, also while one was under way, which the driver warns of and will refuse.
test("Calls that come while one is under way go together, and all are heard", async () => {
  const log = pino({ level: "silent" });
  const heard: string[] = [];
  const ears = new Intercom(
    database.serviceUrl,
    { ready: (id) => heard.push(`ready ${id}`), change: (id) => heard.push(`change ${id}`) },
    log,
  );
  const mouth = new Intercom(database.serviceUrl, { ready: () => {}, change: () => {} }, log);
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on("warning", warn);
  try {
    const isListening = async () =>
      (
        await asSuperuser(
          database.superuserUrl,
          "select from pg_stat_activity where query = 'listen taskledger_change' and datname = current_database()",
        )
      ).length;
    await expect.poll(isListening).toBe(2);
    // Whoever listens may not know it yet.
    await expect
      .poll(() => {
        mouth.tell("ready", ["first"]);
        return heard;
      })
      .toContain("ready first");

    const many = Array.from({ length: 450 }, (_, index) => `${index}`);
    for (const id of many) mouth.tell("ready", [id]);
    mouth.tell("change", many);
    await expect.poll(() => new Set(heard).size, { timeout: 5000 }).toBe(1 + 2 * many.length);
    expect(warnings).toEqual([]);
  } finally {
    process.off("warning", warn);
    await Promise.all([ears.close(), mouth.close()]);
  }
});
