import { afterAll, beforeAll, expect, test } from "vitest";
import { createIdMaker } from "../../src/db/new-id.ts";
import { bootstrap } from "../../src/organization/bootstrap.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";

const servers = 8;
/** How often they start: without running the loser again, one of about ten ends with an error. */
const rounds = 40;

let database: TestDatabase;

beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database?.close());

const deps = () => ({ orm: database.orm, now: () => new Date(), newId: createIdMaker() });
/** Lets all servers bootstrap at once; returns the secrets that they tell. */
async function startAtOnce(bootstrapKey?: string): Promise<string[]> {
  const told = await Promise.all(
    Array.from({ length: servers }, () => bootstrap({ ...deps(), bootstrapKey })),
  );
  return told.flatMap(({ secret }) => secret ?? []);
}
async function stored() {
  const [counts] = await asSuperuser<{ organizations: number; keys: number }>(
    database.superuserUrl,
    `select
       (select count(*)::int from organization) as organizations,
       (select count(*)::int from api_key) as keys`,
  );
  return counts;
}
const empty = () => asSuperuser(database.ownerUrl, "truncate organization cascade");

// What a fleet does that is rolled out before its database holds anything.
test("servers that start at once on an empty database all start, and one of them tells the secret", async () => {
  for (let round = 0; round < rounds; round++) {
    await empty();
    expect(await startAtOnce()).toHaveLength(1);
    expect(await stored()).toEqual({ organizations: 1, keys: 1 });
  }
});
