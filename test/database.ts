import { randomBytes, randomUUID } from "node:crypto";
import type { MikroORM } from "@mikro-orm/postgresql";
import { Client } from "pg";
import { pino } from "pino";
import { inject } from "vitest";
import { migrate } from "../src/db/migrations.ts";
import { forOrganization } from "../src/db/organization.ts";
import { type DatabaseLimits, defaultDatabaseLimits, openOrm } from "../src/db/orm.ts";
import { Organization } from "../src/organization/organization.entity.ts";

/** A migrated database of one test file, and how to connect to it in each role. */
export interface TestDatabase {
  readonly orm: MikroORM;
  readonly superuserUrl: string;
  readonly ownerUrl: string;
  readonly serviceUrl: string;
  close(): Promise<void>;
}

/** Makes a database of its own for one test file, as the service's role sees it. */
export async function openDatabase(limits: Partial<DatabaseLimits> = {}): Promise<TestDatabase> {
  const { superuserUrl, ownerUrl, serviceUrl } = inject("postgres");
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  const owner = decodeURIComponent(new URL(ownerUrl).username);
  await asSuperuser(superuserUrl, `create database ${name} owner ${owner}`);
  const urls = {
    superuserUrl: withDatabase(superuserUrl, name),
    ownerUrl: withDatabase(ownerUrl, name),
    serviceUrl: withDatabase(serviceUrl, name),
  };
  await asSuperuser(urls.superuserUrl, `alter schema public owner to ${owner}`);
  await migrate(urls.ownerUrl, decodeURIComponent(new URL(serviceUrl).username));
  const orm = await openOrm(
    urls.serviceUrl,
    { ...defaultDatabaseLimits, ...limits },
    pino({ level: "silent" }),
  );
  return {
    orm,
    ...urls,
    async close() {
      await orm.close(true);
      await asSuperuser(superuserUrl, `drop database ${name} with (force)`);
    },
  };
}

/** Stores an organization and returns its id. */
export async function givenOrganization(orm: MikroORM, id: string = randomUUID()): Promise<string> {
  const em = forOrganization(orm, id);
  em.create(Organization, {
    id,
    name: `organization ${id}`,
    pageTokenKey: randomBytes(32),
    createTime: new Date(),
  });
  await em.flush();
  return id;
}

/** Runs one statement as the superuser and returns its rows. */
export async function asSuperuser<Row extends object>(
  url: string,
  sql: string,
  values?: unknown[],
): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, name: string): string {
  const result = new URL(url);
  result.pathname = `/${name}`;
  return result.href;
}
