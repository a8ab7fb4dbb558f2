import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { migrate } from "../../src/db/migrations.ts";
import { shardOf } from "../../src/task-execution/feed-shard.ts";
import { asSuperuser } from "../database.ts";

const directory = join(import.meta.dirname, "../../src/db/migrations");

let superuserUrl: string;
let owner: Client;
const name = `test_${randomUUID().replaceAll("-", "")}`;

function at(url: string): string {
  const result = new URL(url);
  result.pathname = `/${name}`;
  return result.href;
}

beforeAll(async () => {
  const postgres = inject("postgres");
  superuserUrl = postgres.superuserUrl;
  const role = decodeURIComponent(new URL(postgres.ownerUrl).username);
  await asSuperuser(superuserUrl, `create database ${name} owner ${role}`);
  await asSuperuser(at(superuserUrl), `alter schema public owner to ${role}`);
  owner = new Client({ connectionString: at(postgres.ownerUrl) });
  await owner.connect();
});
afterAll(async () => {
  await owner?.end();
  await asSuperuser(superuserUrl, `drop database ${name} with (force)`);
});

test("events that were there before the feed get places without gaps, in the order of their revisions", async () => {
  await owner.query(
    "create table migration (name text constraint migration_pkey primary key, apply_time timestamptz(3) not null)",
  );
  for (const file of ["0001-initial.sql", "0002-dispatch.sql"]) {
    await owner.query(await readFile(join(directory, file), "utf8"));
    await owner.query("insert into migration values ($1, now())", [file]);
  }
  const client = new Client({ connectionString: at(superuserUrl) });
  await client.connect();
  const runs: string[] = [];
  for (const organization of [randomUUID(), randomUUID()]) {
    await client.query(
      "insert into organization values ($1::uuid, $1, decode(repeat('00', 32), 'hex'), now())",
      [organization],
    );
    const flow = randomUUID();
    await client.query("insert into flow values ($1, $2, 'f', '', 1, 0, 1, '', now(), now())", [
      organization,
      flow,
    ]);
    await client.query("insert into flow_version values ($1, $2, 1, 'f', '', '-', '[]', '', now())", [
      organization,
      flow,
    ]);
    for (let number = 1; number <= 20; number++) {
      const run = randomUUID();
      runs.push(run);
      await client.query(
        `insert into flow_execution (organization_id, id, flow_id, flow_version, run_number, status, dispatch, labels,
           request_id, revision, total_tasks, queued_tasks, running_tasks, completed_tasks, failed_tasks, cancelled_tasks,
           stale_tasks, etag, modified_by, create_time, update_time)
         values ($1, $2::uuid, $3, 1, $4, 'queued', 'external', '{}', $2, 5, 1, 0, 0, 0, 0, 0, 0, 1, '', now(), now())`,
        [organization, run, flow, number],
      );
      // By clocks that went back in between.
      await client.query(
        `insert into event (organization_id, flow_execution_id, revision, type, to_status, actor_subject, actor_kind,
           actor_key_name, reason, request_id, changed_fields, create_time)
         select $1, $2, n, 'create', 'queued', '', '', '', '', '', '[]', now() + ((n * 7) % 5 - 2) * interval '1 minute'
         from generate_series(1, 5) as n`,
        [organization, run],
      );
    }
  }
  const serviceRole = decodeURIComponent(new URL(inject("postgres").serviceUrl).username);
  expect(await migrate(at(inject("postgres").ownerUrl), serviceRole)).toContain("0003-feed.sql");

  const { rows } = await client.query(
    `select organization_id, flow_execution_id, revision::int, feed_shard, feed_position::int
     from event order by organization_id, feed_shard, feed_position`,
  );
  const heads = await client.query("select organization_id, shard, position::int from feed order by 1, 2");
  await client.end();
  expect(rows).toHaveLength(200);
  const places = new Map<string, number>();
  const revisions = new Map<string, number>();
  for (const row of rows) {
    const shard = `${row.organization_id}/${row.feed_shard}`;
    expect(row.feed_shard).toBe(shardOf(row.flow_execution_id));
    expect(row.feed_position).toBe((places.get(shard) ?? 0) + 1);
    places.set(shard, row.feed_position);
    expect(row.revision).toBe((revisions.get(row.flow_execution_id) ?? 0) + 1);
    revisions.set(row.flow_execution_id, row.revision);
  }
  expect(heads.rows.map((row) => [`${row.organization_id}/${row.shard}`, row.position])).toEqual([...places]);
  expect(runs).toHaveLength(40);
});
