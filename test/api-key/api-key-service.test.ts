import { randomUUID } from "node:crypto";
import { type Client, createClient, createRouterTransport } from "@connectrpc/connect";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ApiKey_Kind as Kind, ApiKey_Role as Role } from "../../gen/taskledger/v1/api_key_pb.ts";
import { ApiKeyService } from "../../gen/taskledger/v1/api_key_service_pb.ts";
import { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { createApp } from "../../src/app.ts";
import { createAuthenticate } from "../../src/auth/authenticate.ts";
import { createIdMaker } from "../../src/db/new-id.ts";
import { bootstrap, defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { outcomeOf } from "../client.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";

describe("API keys", () => {
  let database: TestDatabase;
  let platform: string;
  let acme: string;
  beforeAll(async () => {
    database = await openDatabase();
    platform = (await bootstrap({ orm: database.orm, now: () => new Date(), newId: createIdMaker() }))
      .secret!;
    acme = (await as(platform).organizations.createOrganization({ name: "acme", requestId: "1" })).secret;
  });
  afterAll(() => database.close());

  /** Makes clients that send a secret as a browser or worker would, to the real authentication. */
  function as(secret: string, header = "authorization") {
    const authenticate = createAuthenticate({
      orm: database.orm,
      now: () => new Date(),
      log: pino({ level: "silent" }),
    });
    const { routes, interceptors } = createApp({
      orm: database.orm,
      authenticate,
      log: pino({ level: "silent" }),
      readiness: { isReady: () => true, subscribe: () => {} },
    });
    const transport = createRouterTransport(routes, {
      router: { interceptors: [...interceptors] },
      transport: {
        interceptors: [
          (next) => (req) => {
            if (secret !== "")
              req.header.set(header, header === "authorization" ? `Bearer ${secret}` : secret);
            return next(req);
          },
        ],
      },
    });
    return {
      keys: createClient(ApiKeyService, transport),
      organizations: createClient(OrganizationService, transport),
      tasks: createClient(TaskExecutionService, transport),
    };
  }

  const request = (more: object = {}) => ({
    name: "ci",
    kind: Kind.WORKER,
    role: Role.VIEWER,
    requestId: randomUUID(),
    ...more,
  });
  const works = (secret: string) => outcomeOf(as(secret).organizations.getOrganization({}));
  const create = async (more: object = {}, client: Client<typeof ApiKeyService> = as(acme).keys) => {
    const { apiKey, secret } = await client.createApiKey(request(more));
    return { id: apiKey!.id, secret };
  };

  test("the first start makes one administrator of the platform, and the next ones make none", async () => {
    const again = await bootstrap({ orm: database.orm, now: () => new Date(), newId: createIdMaker() });
    expect(again.secret).toBeUndefined();
    const { organization, role } = await as(platform).organizations.getOrganization({});
    expect([organization!.id, role]).toEqual([defaultOrganizationId, Role.PLATFORM_ADMIN]);
  });

  test("a bootstrap key from the configuration works from the start that first had it", async () => {
    const bootstrapKey = "b".repeat(40);
    const deps = { orm: database.orm, now: () => new Date(), newId: createIdMaker(), bootstrapKey };
    await Promise.all([bootstrap(deps), bootstrap(deps)]);
    expect(await works(bootstrapKey)).toBe("ok");
  });

  test("a key works in its own organization, in either header", async () => {
    const { secret } = await create();
    expect((await as(secret).organizations.getOrganization({})).organization!.name).toBe("acme");
    expect(await outcomeOf(as(secret, "x-api-key").organizations.getOrganization({}))).toBe("ok");
  });

  test("no key, an invented one and two at once are refused", async () => {
    expect(await works("")).toBe("CREDENTIAL_MISSING");
    for (const secret of ["tlk_x", "é", "a,b", "x".repeat(17_000), `${acme}x`]) {
      expect(await works(secret)).toBe("CREDENTIAL_INVALID");
    }
  });

  test("the secret is stored as a hash only", async () => {
    const { secret } = await create();
    const rows = await asSuperuser<{ row: string }>(
      database.superuserUrl,
      "select k::text as row from api_key as k",
    );
    expect(rows.some(({ row }) => row.includes(secret.slice(8)))).toBe(false);
  });

  test("the same request again gives one key with a new secret until it is used", async () => {
    const body = request();
    const first = await as(acme).keys.createApiKey(body);
    const second = await as(acme).keys.createApiKey(body);
    expect(second.apiKey!.id).toBe(first.apiKey!.id);
    expect([await works(first.secret), await works(second.secret)]).toEqual(["CREDENTIAL_INVALID", "ok"]);
    await expect.poll(() => outcomeOf(as(acme).keys.createApiKey(body))).toBe("REQUEST_ID_REUSED");
  });

  test("twenty of the same request at once make one key", async () => {
    const body = request();
    const answers = await Promise.all(Array.from({ length: 20 }, () => as(acme).keys.createApiKey(body)));
    expect(new Set(answers.map(({ apiKey }) => apiKey!.id)).size).toBe(1);
  });

  test("a rotated key works with both secrets while they overlap, and with the new one after", async () => {
    const { id, secret } = await create();
    const overlap = { seconds: 60n, nanos: 0 };
    const lost = await as(acme).keys.rotateApiKey({ id, overlap, requestId: "r1" });
    const rotated = await as(acme).keys.rotateApiKey({ id, overlap, requestId: "r1" });
    expect([await works(secret), await works(lost.secret), await works(rotated.secret)]).toEqual([
      "ok",
      "CREDENTIAL_INVALID",
      "ok",
    ]);
    const last = await as(acme).keys.rotateApiKey({ id, requestId: "r2" });
    expect([await works(rotated.secret), await works(last.secret)]).toEqual(["CREDENTIAL_INVALID", "ok"]);
  });

  test("a revoked key stops within five seconds on a server that has just believed it", async () => {
    const { id, secret } = await create();
    const { organizations } = as(secret);
    expect(await outcomeOf(organizations.getOrganization({}))).toBe("ok");
    await as(acme).keys.revokeApiKey({ id });
    await expect
      .poll(() => outcomeOf(organizations.getOrganization({})), { timeout: 5000, interval: 100 })
      .toBe("CREDENTIAL_INVALID");
    expect(await outcomeOf(as(acme).keys.rotateApiKey({ id, requestId: "x" }))).toBe("API_KEY_REVOKED");
    expect(await outcomeOf(as(acme).keys.revokeApiKey({ id }))).toBe("ok");
  });

  test("an expired key does not work, and one that would be expired is not made", async () => {
    const expireTime = { seconds: BigInt(Math.floor(Date.now() / 1000) + 3600), nanos: 0 };
    const { id, secret } = await create({ expireTime });
    expect(await works(secret)).toBe("ok");
    await asSuperuser(
      database.superuserUrl,
      "update api_key set expire_time = now() - interval '1 s' where id = $1",
      [id],
    );
    expect(await works(secret)).toBe("CREDENTIAL_INVALID");
    expect(await outcomeOf(create({ expireTime: { seconds: 1n, nanos: 0 } }))).toBe("VALIDATION_FAILED");
  });

  test("nobody hands out or takes over more than they have", async () => {
    expect(await outcomeOf(create({ role: Role.PLATFORM_ADMIN }))).toBe("ROLE_INSUFFICIENT");
    const { secret } = await create({ role: Role.EDITOR });
    expect(await outcomeOf(as(secret).keys.listApiKeys({}))).toBe("ROLE_INSUFFICIENT");
    expect(await outcomeOf(as(acme).organizations.createOrganization({ name: "x", requestId: "1" }))).toBe(
      "ROLE_INSUFFICIENT",
    );
  });

  test("a viewer reads and a worker reports, each before anything of the request is looked at", async () => {
    const viewer = as((await create()).secret).tasks;
    const worker = as((await create({ role: Role.WORKER })).secret).tasks;
    expect(await outcomeOf(viewer.createTaskExecution({}))).toBe("ROLE_INSUFFICIENT");
    expect(await outcomeOf(viewer.listTaskExecutions({}))).toBe("ok");
    expect(await outcomeOf(worker.listTaskExecutions({}))).toBe("ROLE_INSUFFICIENT");
    expect(await outcomeOf(worker.createTaskExecution({}))).toBe("VALIDATION_FAILED");
  });

  test("the last administrator's key of an organization cannot be revoked", async () => {
    const made = await as(platform).organizations.createOrganization({ name: "solo", requestId: "2" });
    const { keys } = as(made.secret);
    const id = made.apiKey!.id;
    expect(await outcomeOf(keys.revokeApiKey({ id }))).toBe("LAST_ADMINISTRATOR");
    await create({ role: Role.ADMIN }, keys);
    expect(await outcomeOf(keys.revokeApiKey({ id }))).toBe("ok");
  });

  test("an organization is made once, under a name of its own", async () => {
    const { organizations } = as(platform);
    const first = await organizations.createOrganization({ name: "globex", requestId: "3" });
    const again = await organizations.createOrganization({ name: "globex", requestId: "3" });
    expect(again.organization).toEqual(first.organization);
    expect(await outcomeOf(organizations.createOrganization({ name: "other", requestId: "3" }))).toBe(
      "REQUEST_ID_REUSED",
    );
    expect(await outcomeOf(organizations.createOrganization({ name: "globex", requestId: "4" }))).toBe(
      "NAME_TAKEN",
    );
  });

  test("keys are listed page by page, revoked ones only when asked for", async () => {
    const made = await as(platform).organizations.createOrganization({ name: "pages", requestId: "5" });
    const { keys } = as(made.secret);
    const ids = [made.apiKey!.id];
    for (let index = 0; index < 4; index++) ids.unshift((await create({}, keys)).id);
    await keys.revokeApiKey({ id: ids[1]! });
    const first = await keys.listApiKeys({ pageSize: 2 });
    const second = await keys.listApiKeys({ pageSize: 2, pageToken: first.nextPageToken });
    expect([...first.apiKeys, ...second.apiKeys].map(({ id }) => id)).toEqual([
      ids[0],
      ids[2],
      ids[3],
      ids[4],
    ]);
    expect(second.nextPageToken).toBe("");
    expect((await keys.listApiKeys({ showRevoked: true })).apiKeys.map(({ id }) => id)).toEqual(ids);
  });

  test("another organization's key does not exist", async () => {
    const { id, secret } = await create();
    const { keys } = as(platform);
    expect(await outcomeOf(keys.revokeApiKey({ id }))).toBe("NOT_FOUND");
    expect(await outcomeOf(keys.rotateApiKey({ id, requestId: "x" }))).toBe("NOT_FOUND");
    expect(await works(secret)).toBe("ok");
  });
});
