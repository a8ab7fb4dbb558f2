import type { MikroORM } from "@mikro-orm/postgresql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { forOrganization } from "../../src/db/organization.ts";
import { Organization } from "../../src/organization/organization.entity.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";

describe("an EntityManager of an organization", () => {
  let database: TestDatabase;
  let orm: MikroORM;
  let ours: string;
  let theirs: string;
  beforeAll(async () => {
    database = await openDatabase();
    ({ orm } = database);
    ours = await givenOrganization(orm);
    theirs = await givenOrganization(orm);
  });
  afterAll(() => database.close());

  test("sees its own rows and no other's", async () => {
    const found = await forOrganization(orm, ours).find(Organization, {});
    expect(found.map(({ id }) => id)).toEqual([ours]);
  });

  test("sees no other's even without the filter", async () => {
    const found = await forOrganization(orm, ours).find(Organization, {}, { filters: false });
    expect(found.map(({ id }) => id)).toEqual([ours]);
  });

  test("refuses to write another's rows", async () => {
    const em = forOrganization(orm, ours);
    em.create(Organization, {
      id: theirs,
      name: "x",
      pageTokenKey: Buffer.alloc(32),
      createTime: new Date(),
    });
    await expect(em.flush()).rejects.toThrow("refusing to write");
  });

  test("throws when it was never given an organization", async () => {
    await expect(orm.em.fork().find(Organization, {})).rejects.toThrow();
  });
});
