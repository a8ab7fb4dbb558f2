import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "pg";
import { describe, expect, inject, it } from "vitest";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { newDir, query, start } from "./embedded/fixture.ts";

const insufficientPrivilege = { code: "42501" };

describe("a new data directory", () => {
  it("holds UTF-8 text that sorts the same everywhere, with checksums", async () => {
    const { ownerUrl } = inject("postgres");
    const { rows } = await query(
      ownerUrl,
      `select current_setting('data_checksums') as checksums, current_setting('server_version_num')::int / 10000 as major,
        pg_encoding_to_char(encoding) as encoding, datlocprovider as provider, datlocale as locale,
        pg_get_userbyid(datdba) as owner
      from pg_database where datname = current_database()`,
    );
    expect(rows).toEqual([
      {
        checksums: "on",
        major: 18,
        encoding: "UTF8",
        provider: "b",
        locale: "C.UTF-8",
        owner: "taskledger_owner",
      },
    ]);
  });

  it("can be reached over TCP from this machine only", async () => {
    const { superuserUrl } = inject("postgres");
    const { rows } = await query(
      superuserUrl,
      `select name, setting from pg_settings where name in ('listen_addresses', 'unix_socket_directories') order by name`,
    );
    expect(rows).toEqual([
      { name: "listen_addresses", setting: "127.0.0.1" },
      { name: "unix_socket_directories", setting: "" },
    ]);
  });

  it("keeps its passwords from everybody else, and asks for them", async () => {
    const dataDir = join(await newDir(), "data");
    const { serviceUrl } = await start(dataDir);
    const { mode } = await stat(join(dataDir, "cluster", "credentials.json"));
    expect(mode & 0o777).toBe(0o600);
    const wrong = Object.assign(new URL(serviceUrl), { password: "wrong" });
    await expect(query(wrong.href, "select 1")).rejects.toMatchObject({ code: "28P01" });
  });

  it("has an owner and a service role that may do no more than they need", async () => {
    const { ownerUrl, serviceUrl } = inject("postgres");
    const { rows } = await query(
      ownerUrl,
      `select rolname, rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls as powerful,
        (select count(*)::int from pg_auth_members where member = r.oid) as memberships
      from pg_roles r where rolname like 'taskledger%' order by rolname`,
    );
    expect(rows).toEqual([
      { rolname: "taskledger_owner", powerful: false, memberships: 0 },
      { rolname: "taskledger_service", powerful: false, memberships: 0 },
    ]);
    await query(ownerUrl, "create table of_the_owner (id int)");
    for (const sql of [
      "create table mine (id int)",
      "create schema mine",
      "create temporary table mine (id int)",
    ]) {
      await expect(query(serviceUrl, sql), sql).rejects.toMatchObject(insufficientPrivilege);
    }
    await expect(query(serviceUrl, "select * from of_the_owner")).rejects.toMatchObject(
      insufficientPrivilege,
    );
    await query(ownerUrl, "drop table of_the_owner");
    for (const name of ["postgres", "template1"]) {
      const elsewhere = Object.assign(new URL(serviceUrl), { pathname: `/${name}` });
      await expect(query(elsewhere.href, "select 1"), name).rejects.toMatchObject(insufficientPrivilege);
    }
  });

  it("shows nobody the statements and statistics of others, in databases made later neither", async () => {
    const { superuserUrl, ownerUrl, serviceUrl } = inject("postgres");
    await query(superuserUrl, "create database made_later owner taskledger_owner");
    try {
      for (const url of [ownerUrl, serviceUrl]) {
        for (const name of ["taskledger", "made_later"]) {
          const there = Object.assign(new URL(url), { pathname: `/${name}` });
          for (const source of [
            "pg_stat_activity",
            "pg_stat_get_activity(null)",
            "pg_stat_get_backend_activity(1)",
            "pg_stats",
            "pg_stats_ext",
            "pg_stat_user_tables",
          ]) {
            const reading = query(there.href, `select * from ${source}`);
            await expect(reading, `${source} in ${name}`).rejects.toMatchObject(insufficientPrivilege);
          }
        }
      }
    } finally {
      await query(superuserUrl, "drop database made_later");
    }
  });
});

describe("the log of PostgreSQL", () => {
  it("shows neither SQL text nor parameters nor values of statements that fail", async () => {
    const dataDir = join(await newDir(), "data");
    const { ownerUrl, serviceUrl, superuserUrl } = await start(dataDir);
    await query(ownerUrl, "create table named (name text unique, amount int check (amount > 0))");
    await query(ownerUrl, "grant all on named to taskledger_service");
    await query(ownerUrl, "insert into named values ('canary', 1)");
    for (const url of [ownerUrl, serviceUrl]) {
      for (const [sql, values] of [
        ["insert into named values ('canary', 1)", []],
        ["insert into named values ($1, 1)", ["canary"]],
        ["insert into named values ('canary2', -1)", []],
        ["insert into named values ($1, $2)", ["canary2", "canary"]],
        ["select 'canary'::int", []],
        ["select '{\"canary\": nonsense}'::json", []],
        ["select $1::jsonb", ['{"canary": nonsense}']],
        ["select canary", []],
        ["do $$ begin raise warning 'canary'; raise exception 'canary'; end $$", []],
      ] as [string, string[]][]) {
        await expect(query(url, sql, values), sql).rejects.toThrow();
      }
    }
    // The superuser's errors are logged, without their statement. This shows that we read the right file.
    await expect(query(superuserUrl, "select 'seen'::int as hidden")).rejects.toThrow();
    const log = await readFile(join(dataDir, "postgres.log"), "utf8");
    expect(log).toContain('invalid input syntax for type integer: "seen"');
    expect(log).not.toContain("hidden");
    expect(log).not.toContain("canary");
  });
});

describe("starting again", () => {
  it("finds the data that was there, at another port perhaps", async () => {
    const dataDir = join(await newDir(), "data");
    const first = await start(dataDir);
    await query(first.ownerUrl, "create table kept (name text)");
    await query(first.ownerUrl, "insert into kept values ('Ünïcode')");
    await first.stop();
    await expect(query(first.ownerUrl, "select 1")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await first.stop();

    const second = await start(dataDir);
    expect((await query(second.ownerUrl, "select name from kept")).rows).toEqual([{ name: "Ünïcode" }]);
  });

  it("takes less than a second and a half", async () => {
    const dataDir = join(await newDir(), "data");
    await (await start(dataDir)).stop();
    const before = performance.now();
    await start(dataDir);
    expect(performance.now() - before).toBeLessThan(1500);
  });

  it("works in directories with awkward names, made on the way", async () => {
    const dataDir = join(await newDir(), "a b", `'q' "qq" $HOME \`id\` \\ #%41;&é日本`.repeat(4), "data");
    const first = await start(dataDir);
    await first.stop();
    const second = await start(dataDir);
    expect((await query(second.serviceUrl, "select 1 as one")).rows).toEqual([{ one: 1 }]);
  });

  it("stops with sessions still open", async () => {
    const postgres = await start(join(await newDir(), "data"));
    const client = new Client({ connectionString: postgres.ownerUrl });
    const broken = new Promise((done) => client.on("error", done));
    await client.connect();
    await client.query("begin");
    await postgres.stop();
    expect(await broken).toMatchObject({ code: "57P01" });
  });

  it("refuses data of another major version, and leaves it alone", async () => {
    const dataDir = await newDir();
    await mkdir(join(dataDir, "cluster"));
    await writeFile(join(dataDir, "cluster", "PG_VERSION"), "17\n");
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toThrow(
      /was made by PostgreSQL 17.* brings PostgreSQL 18/,
    );
    expect(await readdir(join(dataDir, "cluster"))).toEqual(["PG_VERSION"]);
  });

  it("refuses a damaged directory instead of making a new one in its place", async () => {
    const dataDir = await newDir();
    await mkdir(join(dataDir, "cluster"));
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toThrow(/PG_VERSION is missing or damaged/);
    await writeFile(join(dataDir, "cluster", "PG_VERSION"), "18\n");
    await expect(startEmbeddedPostgres({ dataDir })).rejects.toThrow(
      /credentials.json is missing or damaged/,
    );
  });
});
