import type { Writable } from "node:stream";
import { sql } from "kysely";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { forOrganization } from "../../src/db/organization.ts";
import { createPipeline } from "../../src/db/pipeline.ts";
import { kept, unread } from "../../src/db/statement.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";

describe("a pipeline", () => {
  /** A connection that answers when it is told to. */
  function given() {
    const sent: unknown[] = [];
    const answers: PromiseWithResolvers<unknown>[] = [];
    const outlet = { cork: () => sent.push("hold"), uncork: () => sent.push("let go") };
    const query = createPipeline((first) => {
      sent.push(first);
      const answer = Promise.withResolvers<unknown>();
      answers.push(answer);
      return answer.promise;
    }, outlet) as (text: string, values?: unknown[]) => Promise<unknown>;
    return { sent, answers, query };
  }

  test("sends what nobody reads without waiting for it, in order", async () => {
    const { sent, answers, query } = given();
    await query("begin");
    await query("select set_config('a', 'b', true)");
    await query("/* unread write */ insert", [1]);
    const commit = query("commit");
    expect(sent).toMatchObject([
      "hold",
      "begin",
      "select set_config('a', 'b', true)",
      { name: "write", text: "/* unread write */ insert", values: [1] },
      "commit",
      "let go",
    ]);
    for (const answer of answers) answer.resolve({ rows: [] });
    expect(await commit).toEqual({ rows: [] });
  });

  test("sends what is long at once, with what was held back", async () => {
    const { sent, query } = given();
    await query("begin");
    await query("/* unread write */ insert", ["long".repeat(10_000)]);
    expect(sent).toMatchObject(["hold", "begin", { name: "write" }, "let go"]);
    await query("/* unread write */ insert", ["short"]);
    expect(sent.slice(4)).toMatchObject(["hold", { name: "write" }]);
  });

  test("waits for what is read, under the name by which connections keep it", async () => {
    const { sent, answers, query } = given();
    const read = query("/* kept read */ select", [1]);
    expect(sent).toEqual([{ name: "read", text: "/* kept read */ select", values: [1] }]);
    answers[0]!.resolve({ rows: [1] });
    expect(await read).toEqual({ rows: [1] });
  });

  test.each(["commit", "select 1"])(
    "throws the first error of what nobody reads at the next %s",
    async (next) => {
      const { sent, answers, query } = given();
      await query("begin");
      await query("/* unread one */ insert");
      await query("/* unread two */ insert");
      const waited = query(next);
      answers[0]!.resolve({});
      answers[1]!.reject(new Error("first"));
      answers[2]!.reject(new Error("second"));
      answers[3]!.resolve({ command: next === "commit" ? "ROLLBACK" : "SELECT" });
      await expect(waited).rejects.toThrow("first");
      const rollback = query("rollback");
      // What was to be committed is undone already.
      expect(sent.includes("rollback")).toBe(next !== "commit");
      answers[4]?.resolve({});
      await rollback;
      // The next transaction has nothing to do with it.
      const before = answers.length;
      await query("begin");
      const commit = query("commit");
      for (const answer of answers.slice(before)) answer.resolve({});
      await commit;
    },
  );

  test("sends the rollback after a commit that was lost, and after each transaction that comes later", async () => {
    const { sent, answers, query } = given();
    const rollbacks = () => sent.filter((text) => text === "rollback").length;
    await query("begin");
    const lost = query("commit");
    answers[0]!.resolve({});
    answers[1]!.reject(new Error("lost"));
    await expect(lost).rejects.toThrow("lost");
    void query("rollback");
    expect(rollbacks()).toBe(1);
    await query("begin");
    const undone = query("commit");
    answers[3]!.reject(new Error("failed"));
    answers[4]!.resolve({ command: "ROLLBACK" });
    await expect(undone).rejects.toThrow("failed");
    await query("begin");
    void query("rollback");
    expect(rollbacks()).toBe(2);
  });
});

describe("a transaction", () => {
  let database: TestDatabase;
  let organizationId: string;

  beforeAll(async () => {
    database = await openDatabase({ pool: 1 });
    organizationId = await givenOrganization(database.orm);
    await asSuperuser(
      database.superuserUrl,
      "create table note (n integer constraint n_small check (n < 10))",
    );
    await asSuperuser(database.superuserUrl, "grant select, insert on note to public");
  });

  afterAll(() => database.close());

  const write = (values: readonly number[]) =>
    forOrganization(database.orm, organizationId).transactional(async (em) => {
      for (const n of values)
        await sql`${unread("add")} insert into note values (${n})`.execute(em.getKysely());
    });

  const stored = async () => {
    const rows = await forOrganization(database.orm, organizationId).transactional(async (em) => {
      const found = await sql<{ n: number }>`${kept("all")} select n from note order by n`.execute(
        em.getKysely(),
      );
      return found.rows;
    });
    return rows.map(({ n }) => n);
  };

  test("whose writes nobody reads is stored as a whole, or not at all with the error of the first that failed", async () => {
    await write([1, 2]);
    expect(await stored()).toEqual([1, 2]);
    await expect(write([3, 30, 4])).rejects.toMatchObject({ constraint: "n_small" });
    await expect(write([30, 5])).rejects.toMatchObject({ constraint: "n_small" });
    expect(await stored()).toEqual([1, 2]);
    await write([6]);
    expect(await stored()).toEqual([1, 2, 6]);
  });

  test("that cannot be committed is undone once, and the database has nothing to warn of", async () => {
    const client = new Client({ connectionString: database.serviceUrl });
    const warnings: (string | undefined)[] = [];
    client.on("notice", ({ message }) => warnings.push(message));
    await client.connect();
    const outlet = (client as unknown as { connection: { stream: Writable } }).connection.stream;
    const query = createPipeline((...args) => client.query(...(args as [string])), outlet);
    await query("begin");
    await query("/* unread add */ insert into note values ($1)", [30]);
    await expect(query("commit")).rejects.toMatchObject({ constraint: "n_small" });
    await query("rollback");
    await query("select 1");
    await client.end();
    expect(warnings).toEqual([]);
  });

  test("has no organization, and sees and writes nothing, if its begin is refused", async () => {
    // As if it had not begun: the setting ends with its own statement.
    const client = new Client({ connectionString: database.serviceUrl });
    await client.connect();
    await client.query("select set_config('app.organization_id', $1, true)", [organizationId]);
    expect((await client.query("select id from organization")).rows).toEqual([]);
    await client.query("begin");
    await client.query("select set_config('app.organization_id', $1, true)", [organizationId]);
    expect((await client.query("select id from organization")).rows).toEqual([{ id: organizationId }]);
    await client.end();
  });
});
