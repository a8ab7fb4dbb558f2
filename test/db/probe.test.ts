import { afterAll, beforeAll, expect, test } from "vitest";
import { createProbe } from "../../src/db/probe.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database?.close());

async function backends(): Promise<number[]> {
  const rows = await asSuperuser<{ pid: number }>(
    database.superuserUrl,
    "select pid from pg_stat_activity where application_name = 'taskledger-probe' and datname = current_database()",
  );
  return rows.map(({ pid }) => pid);
}

test("a probe keeps its connection, also when the time of one that succeeded is over", async () => {
  const { probe, close } = createProbe(database.serviceUrl);
  const first = new AbortController();
  await probe(first.signal);
  const before = await backends();
  first.abort();
  await probe(new AbortController().signal);
  expect(before).toHaveLength(1);
  expect(await backends()).toEqual(before);
  await close();
});

test("a probe that takes too long lets its connection go, and the next one makes another", async () => {
  const { probe, close } = createProbe(database.serviceUrl);
  await probe(new AbortController().signal);
  const before = await backends();
  const late = new AbortController();
  const probing = probe(late.signal);
  late.abort();
  await probing.catch(() => {});
  await probe(new AbortController().signal);
  const after = await backends();
  expect(after.filter((pid) => !before.includes(pid))).toHaveLength(1);
  await close();
});
