import { randomUUID } from "node:crypto";
import type { EntityManager, MikroORM } from "@mikro-orm/postgresql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { forOrganization } from "../../src/db/organization.ts";
import { createPageTokens, pageTokenLifetimeSeconds } from "../../src/page-token/page-token.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";

const scope = { method: "ListFlows", filter: { showDeleted: false } };

describe("the page tokens of an organization", () => {
  let database: TestDatabase;
  let orm: MikroORM;
  let ours: EntityManager;
  let theirs: EntityManager;
  let time = new Date("2030-01-01T00:00:00Z");
  const tokens = createPageTokens({ now: () => time });

  beforeAll(async () => {
    database = await openDatabase();
    ({ orm } = database);
    ours = forOrganization(orm, await givenOrganization(orm));
    theirs = forOrganization(orm, await givenOrganization(orm));
  });
  afterAll(() => database.close());

  test("begin with the empty one", async () => {
    expect(await tokens.read(ours, scope, "")).toBeUndefined();
  });

  test("are taken by another server too", async () => {
    const token = await tokens.write(ours, scope, "x");
    expect(await createPageTokens({ now: () => time }).read(ours, scope, token)).toBe("x");
  });

  test("are good for three days and no longer", async () => {
    const token = await tokens.write(ours, scope, "x");
    const issued = time;
    time = new Date(issued.getTime() + pageTokenLifetimeSeconds * 1000);
    expect(await tokens.read(ours, scope, token)).toBe("x");
    time = new Date(time.getTime() + 1000);
    await expect(tokens.read(ours, scope, token)).rejects.toMatchObject({ problem: "PAGE_TOKEN_INVALID" });
    time = issued;
  });

  test("are refused in the same words for every reason", async () => {
    const token = await tokens.write(ours, scope, "x");
    const nobody = forOrganization(orm, randomUUID());
    const reasons: [EntityManager, typeof scope, string][] = [
      [theirs, scope, token],
      [nobody, scope, token],
      [ours, { ...scope, filter: { showDeleted: true } }, token],
      [ours, { ...scope, method: "ListFlowVersions" }, token],
      [ours, scope, "nonsense"],
      [ours, scope, "x".repeat(2_000_000)],
    ];
    for (const reason of reasons) {
      await expect(tokens.read(...reason)).rejects.toMatchObject({
        problem: "PAGE_TOKEN_INVALID",
        message: "page_token: not a token of this list and filter; start again without it",
        facts: { violations: [{ field: "page_token" }] },
      });
    }
  });
});
