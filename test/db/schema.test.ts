import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { forOrganization } from "../../src/db/organization.ts";
import { toLedgerError } from "../../src/db/sql-state.ts";
import { Flow } from "../../src/flow/flow.entity.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";

describe("the schema", () => {
  let database: TestDatabase;
  let ours: string;
  let theirs: string;
  beforeAll(async () => {
    database = await openDatabase();
    ours = await givenOrganization(database.orm);
    theirs = await givenOrganization(database.orm);
    await givenRun(database.orm, theirs, ["task"]);
  });
  afterAll(() => database.close());

  const ask = <Row extends object>(sql: string, values?: unknown[]) =>
    asSuperuser<Row>(database.superuserUrl, sql, values);
  const run = (sql: string, organizationId?: string) =>
    (organizationId === undefined
      ? database.orm.em.fork()
      : forOrganization(database.orm, organizationId)
    ).transactional((em) => em.getConnection().execute(sql, [], "all", em.getTransactionContext()));

  test("begins every key and index of a tenant's table with the organization", async () => {
    const rows = await ask<{ name: string }>(`
      select i.indexrelid::regclass::text as name
      from pg_index as i
      join pg_class as c on c.oid = i.indrelid and c.relnamespace = 'public'::regnamespace
      join pg_attribute as first on first.attrelid = c.oid and first.attnum = i.indkey[0]
      where c.relname not in ('organization', 'migration') and first.attname <> 'organization_id'
      order by 1`);
    // A key is found by its hash before the organization is known.
    expect(rows.map(({ name }) => name)).toEqual([
      "api_key_previous_secret_hash_idx",
      "api_key_secret_hash_idx",
    ]);
    const foreign = await ask(`
      select conname from pg_constraint
      where contype = 'f' and connamespace = 'public'::regnamespace
        and (select attname from pg_attribute where attrelid = conrelid and attnum = conkey[1]) <> 'organization_id'`);
    expect(foreign).toEqual([]);
  });

  test("has nothing that other PostgreSQL-like databases lack", async () => {
    const found = await ask(`
      select typname as name from pg_type where typtype = 'e' and typnamespace = 'public'::regnamespace
      union all select relname from pg_class where relkind = 'S' and relnamespace = 'public'::regnamespace
      union all select tgname from pg_trigger where not tgisinternal`);
    expect(found).toEqual([]);
  });

  test("has the columns that the entities say, with the same nullability", async () => {
    const columns = await ask<{ table_name: string; column_name: string; is_nullable: string }>(
      "select table_name, column_name, is_nullable from information_schema.columns where table_schema = 'public'",
    );
    const inDatabase = columns
      .filter(({ table_name }) => table_name !== "migration")
      .map((column) => `${column.table_name}.${column.column_name} ${column.is_nullable}`);
    const inEntities = [...database.orm.getMetadata().getAll().values()].flatMap((meta) =>
      meta.props.map((prop) => `${meta.tableName}.${prop.fieldNames[0]} ${prop.nullable ? "YES" : "NO"}`),
    );
    expect(inEntities.sort()).toEqual(inDatabase.sort());
  });

  test("shows nothing and takes nothing without an organization, also where there was one before", async () => {
    expect(await run("select * from flow", theirs)).toHaveLength(1);
    for (let connection = 0; connection < 5; connection++) {
      expect(await run("select * from flow")).toEqual([]);
    }
    const insert = `insert into organization (id, name, page_token_key, create_time)
      values (gen_random_uuid(), 'x', decode(repeat('00', 32), 'hex'), now())`;
    await expect(run(insert)).rejects.toThrow(/row-level security/);
  });

  test("refuses the nil organization", async () => {
    const insert = `insert into organization (id, name, page_token_key, create_time)
      values ('00000000-0000-0000-0000-000000000000', 'x', decode(repeat('00', 32), 'hex'), now())`;
    await expect(ask(insert)).rejects.toThrow("organization_id_not_nil");
  });

  test("lets nobody move a row to another organization", async () => {
    await expect(run(`update flow set organization_id = '${ours}'`, theirs)).rejects.toThrow(
      /permission denied/,
    );
  });

  test("refuses a reference to another organization's row even in plain SQL", async () => {
    const [flow] = await ask<{ id: string }>("select id from flow");
    const insert = `insert into flow_version values
      ('${ours}', '${flow!.id}', 2, 'n', '', '-', '[]', 'system', now())`;
    await expect(run(insert, ours)).rejects.toThrow(/flow_version_flow_fkey/);
  });

  test("keeps the names of two organizations apart", async () => {
    const [theirFlow] = await ask<{ name: string }>("select name from flow");
    const { flowId } = await givenRun(database.orm, ours, ["task"]);
    const em = forOrganization(database.orm, ours);
    await em.nativeUpdate(Flow, { id: flowId }, { name: theirFlow!.name });
    expect(await em.count(Flow, { name: theirFlow!.name })).toBe(1);
  });

  test("shows the service's role no statistics of values and no other role's statements", async () => {
    await ask("analyze flow");
    await expect(run("select * from pg_stats", ours)).rejects.toThrow(/permission denied/);
    await expect(run("select query from pg_stat_activity", ours)).rejects.toThrow(/permission denied/);
  });

  const failures: [string, string][] = [
    ["a key that is taken", "insert into organization select * from organization"],
    [
      "a reference to nothing",
      "insert into flow_version select organization_id, gen_random_uuid(), 1, '', '', '-', '[]', '', now() from flow",
    ],
    ["a malformed value", "select 'x'::uuid"],
    ["a broken check", "update flow set run_count = -1"],
  ];
  for (const [name, sql] of failures) {
    test(`${name} is told without the database's words`, async () => {
      const error = await run(sql, theirs).catch((reason) => reason);
      const told = toLedgerError(error);
      expect(told?.message).toBeDefined();
      expect(JSON.stringify([told?.message, told?.facts.metadata, told?.facts.violations])).not.toMatch(
        /organization|flow|run_count|uuid|insert|update|select|constraint|\bkey\b/i,
      );
    });
  }
});
