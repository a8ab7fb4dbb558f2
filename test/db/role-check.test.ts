import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { migrate } from "../../src/db/migrations.ts";
import { checkDatabase, UnsafeDatabaseError } from "../../src/db/role-check.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";
import { startDatabaseProxy } from "./proxy.ts";

describe("the check at the start", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openDatabase();
  });
  afterAll(() => database.close());

  test("accepts a migrated database and the service's role", async () => {
    await expect(checkDatabase(database.serviceUrl)).resolves.toBeUndefined();
  });

  test("refuses a superuser and the owner", async () => {
    await expect(checkDatabase(database.superuserUrl)).rejects.toThrow("superuser");
    await expect(checkDatabase(database.ownerUrl)).rejects.toThrow("owns");
  });

  // An error of a connection that nobody hears ends the process.
  test.each<[string, () => string, (url: string) => Promise<unknown>, RegExp]>([
    ["it", () => database.serviceUrl, checkDatabase, /to_regclass/],
    ["a migration", () => database.ownerUrl, (url) => migrate(url, role), /create table if not exists/],
  ])("fails when the connection is lost during %s, and lives", async (_what, urlOf, start, statement) => {
    await using proxy = await startDatabaseProxy(urlOf());
    proxy.inject("lose-before", statement);
    await expect(start(proxy.url)).rejects.toThrow("Connection terminated");
    await expect(start(proxy.url)).resolves.not.toThrow();
  });

  const role = "taskledger_service";
  const unsafe: [string, string, string, string][] = [
    [
      "row-level security that is not forced",
      "alter table flow no force row level security",
      "alter table flow force row level security",
      "table flow: row-level security is not enabled and forced",
    ],
    [
      "row-level security that is off",
      "alter table event disable row level security",
      "alter table event enable row level security",
      "table event: row-level security",
    ],
    [
      "a new table of tenants without a policy",
      "create table loose (organization_id uuid)",
      "drop table loose",
      "table loose",
    ],
    [
      "a policy that lets everybody see everything",
      "create policy open on flow using (true)",
      "drop policy open on flow",
      "policy open lets everybody",
    ],
    [
      "a right to move rows between organizations",
      `grant update (organization_id) on flow to ${role}`,
      `revoke update (organization_id) on flow from ${role}`,
      "may update organization_id",
    ],
    [
      "a right to truncate",
      `grant truncate on flow to ${role}`,
      `revoke truncate on flow from ${role}`,
      "may truncate",
    ],
    [
      "a view that sees what its owner sees",
      "create view all_flows as select * from flow",
      "drop view all_flows",
      "view all_flows",
    ],
    [
      "a materialized view",
      "create materialized view kept as select 1 as x",
      "drop materialized view kept",
      "materialized view kept",
    ],
    [
      "a function of the owner's that looks up names where the caller says",
      "create function loose() returns int language sql security definer as 'select 1'",
      "drop function loose()",
      "function loose",
    ],
    [
      "a schema of another version",
      "update migration set name = 'was-' || name",
      "update migration set name = substr(name, 5)",
      "run npm run migrate",
    ],
  ];
  for (const [name, make, undo, message] of unsafe) {
    test(`refuses ${name}`, async () => {
      await asSuperuser(database.superuserUrl, make);
      const check = checkDatabase(database.serviceUrl);
      await expect(check).rejects.toThrow(UnsafeDatabaseError);
      await expect(check).rejects.toThrow(message);
      await asSuperuser(database.superuserUrl, undo);
      await expect(checkDatabase(database.serviceUrl)).resolves.toBeUndefined();
    });
  }
});
