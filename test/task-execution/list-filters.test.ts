import { randomUUID } from "node:crypto";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskTagOperation_Action as Action,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { services } from "../../src/app.ts";
import { callerFrom, clientOf } from "../client.ts";
import { asSuperuser, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { bootstrapKey, startTestService } from "../service.ts";

/** What a list answers: the code of its error, or the names of the tasks it returned, sorted. */
type Answer = string | readonly string[];

/** Names that mean something to LIKE, to regular expressions, to SQL, or to the ORM, if nobody escapes them. */
const names = [
  "a%b",
  "a_b",
  "a\\b",
  "axb",
  "%",
  "_",
  "\\",
  "a",
  ".*",
  "^a",
  "' or '1'='1",
  "'; drop table task_execution; --",
  "$1",
  '{"$ne":null}',
  "null",
] as const;

/** Names that match one or more of the above, if they are taken for patterns or for SQL, and else nothing. */
const notNames = [
  "a%",
  "%b",
  "a__",
  "__",
  "a\\%b",
  "A",
  "[a]",
  "a|.*",
  "a' or true --",
  '{"$gt":""}',
  "undefined",
];

/** What the ORM takes for an operator or a list, where a query without checks asks for a text or a number. */
const operators: readonly JsonValue[] = [
  { $ne: null },
  { $gt: "" },
  { $like: "%" },
  { $in: ["a", "%"] },
  { $or: [{}] },
  ["a", "%"],
];

describe("a list with a filter from an attacker", () => {
  let database: TestDatabase;
  let service: Awaited<ReturnType<typeof startTestService>>;
  let theirSecret: string;
  let theirOrganization: string;
  let theirRun: string;
  let before: string;

  beforeAll(async () => {
    database = await openDatabase();
    service = await startTestService(database.serviceUrl);
    const organizations = service.client(OrganizationService);
    const ours = (await organizations.getOrganization({})).organization!.id;
    const theirs = await organizations.createOrganization({ name: "theirs", requestId: "1" });
    theirSecret = theirs.secret;
    theirOrganization = theirs.organization!.id;
    await givenRecords(ours);
    theirRun = await givenRecords(theirOrganization);
    before = await dump();
  });
  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await database?.close();
  });

  /** Stores a record of each name, tagged with its name, and one without a tag. Both organizations have the same. */
  async function givenRecords(organizationId: string): Promise<string> {
    const { flowExecutionId } = await givenRun(database.orm, organizationId, [...names, "untagged"]);
    const tasks = clientOf(TaskExecutionService, database, callerFrom(organizationId));
    for (const taskName of [...names, "untagged"]) {
      const report = { flowExecutionId, taskName, status: Status.QUEUED };
      const { taskExecution } = await tasks.createTaskExecution(report);
      if (taskName !== "untagged") {
        const { id } = taskExecution!;
        await tasks.updateTaskTags({ operations: [{ action: Action.ADD, id, tag: taskName }] });
      }
    }
    return flowExecutionId;
  }

  async function dump(): Promise<string> {
    const rows = await asSuperuser(
      database.superuserUrl,
      "select t::text, g::text from task_execution as t left join task_tag as g on g.task_execution_id = t.id order by 1",
    );
    return JSON.stringify(rows);
  }

  async function post(method: string, body: unknown, secret = bootstrapKey): Promise<JsonObject> {
    const response = await fetch(`${service.origin}/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${secret}` },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    return (await response.json()) as JsonObject;
  }

  async function list(body: unknown): Promise<Answer> {
    const answer = await post("taskledger.v1.TaskExecutionService/ListTaskExecutions", body);
    if ("code" in answer) {
      return String(answer["code"]);
    }
    const records = (answer["taskExecutions"] ?? []) as { taskName: string; flowExecutionId: string }[];
    expect(records.map(({ flowExecutionId }) => flowExecutionId)).not.toContain(theirRun);
    return records.map(({ taskName }) => taskName).sort();
  }

  const everything = [...names, "untagged"].sort();

  test.each(names)(
    "of the name or the tag %j returns what has that name or tag, and nothing like it",
    async (name) => {
      expect(await list({ taskName: name })).toEqual([name]);
      expect(await list({ tag: name })).toEqual([name]);
    },
  );

  test.each(notNames)(
    "of the name or the tag %j that only matches as a pattern returns nothing",
    async (name) => {
      expect(await list({ taskName: name })).toEqual([]);
      expect(await list({ tag: name })).toEqual([]);
    },
  );

  // Every field of every method, not only of lists: whatever reaches `em.find` must be of its type.
  const fields = services.flatMap((service) =>
    service.methods.flatMap((method) =>
      method.input.fields
        .filter((field) => field.fieldKind === "scalar" || field.fieldKind === "enum")
        .map((field) => [`${service.typeName}/${method.name}`, field.jsonName] as const),
    ),
  );
  test.each(fields)("and any %s refuses an operator as its %s", async (method, field) => {
    for (const operator of operators) {
      expect(await post(method, { [field]: operator }), JSON.stringify(operator)).toMatchObject({
        code: "invalid_argument",
      });
    }
  });

  test.each<[string, JsonObject]>([
    ["statuses", { statuses: ["STATUS_COMPLETD"] }],
    ["order_by", { order_by: "(select secret_hash from api_key limit 1)" }],
    ["orderBy", { orderBy: { organizationId: "asc; drop table event" } }],
    ["filter", { filter: "status != null OR true" }],
    ["where", { $where: "true", where: { organizationId: { $ne: null } }, $or: [{}] }],
    ["organization_id", { organization_id: "", organizationId: { $ne: null } }],
    ["filters", { filters: { organization: false }, populate: ["*"], offset: -1 }],
  ])("with the unknown field %s is refused", async (_field, unknown) => {
    const answer = await list(unknown);
    expect(answer).toBe("invalid_argument");
  });

  test("does not take a __proto__ or a constructor for a filter", async () => {
    for (const body of [
      '{"__proto__":{"taskName":"a"}}',
      '{"constructor":{"prototype":{"showDeleted":true}}}',
    ]) {
      expect(await list(body)).toBe("invalid_argument");
    }
    // Nothing sticks to later calls either.
    expect(await list({})).toEqual(everything);
  });

  test.each<[string, JsonObject]>([
    ["10,000 statuses", { statuses: Array.from({ length: 10_000 }, () => "STATUS_QUEUED") }],
    ["10,000 different statuses", { statuses: Array.from({ length: 10_000 }, (_, index) => index) }],
    ["each status twice", { statuses: ["STATUS_QUEUED", "STATUS_QUEUED"] }],
    ["an unspecified status", { statuses: ["STATUS_UNSPECIFIED"] }],
    ["10,000 characters of name", { taskName: "a".repeat(10_000) }],
    ["10,000 characters of tag", { tag: "%".repeat(10_000) }],
    ["10,000 characters of page token", { pageToken: "A".repeat(10_000) }],
    ["SQL as a run", { flowExecutionId: `${randomUUID()}' or true --` }],
    ["a wildcard as a flow", { flowId: "%" }],
    ["a NUL in a tag", { tag: "a\u0000" }],
    ["more than a page", { pageSize: 1001 }],
    ["less than a page", { pageSize: -1 }],
    ["a negative idx", { taskExecutionIdx: -1 }],
    ["SQL as a time", { minCreateTime: "now()) or (true" }],
  ])("with %s is refused", async (_name, body) => {
    expect(await list(body)).toBe("invalid_argument");
  });

  // Connect ignores what it does not know in JSON, and takes the name of an enum value for such a thing: the filter
  // is dropped and the list is wider than what was asked for. Never wider than the organization, though.
  test("with a status that does not exist is refused or not filtered, and has nobody else's rows", async () => {
    for (const statuses of [["STATUS_COMPLETD"], ["STATUS_QUEUED' or true --"]]) {
      expect(["invalid_argument", everything]).toContainEqual(await list({ statuses }));
    }
  });

  test("goes on only from a page token that was made for it", async () => {
    const path = "taskledger.v1.TaskExecutionService/ListTaskExecutions";
    const tokenOf = async (body: object, secret?: string) =>
      String((await post(path, { ...body, pageSize: 1 }, secret))["nextPageToken"]);
    const own = await tokenOf({});
    expect(await list({ pageToken: own })).toHaveLength(everything.length - 1);
    const forged = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    for (const pageToken of [
      await tokenOf({}, theirSecret),
      await tokenOf({ statuses: ["STATUS_QUEUED"] }),
      `${own.slice(0, -2)}${own.endsWith("AA") ? "BB" : "AA"}`,
      `${own}' or true --`,
      "' or true --",
      "%",
      randomUUID(),
      forged({ $ne: null }),
      forged({ id: { $ne: null }, organizationId: theirOrganization }),
    ]) {
      expect(await list({ pageToken }), pageToken).toBe("invalid_argument");
    }
  });

  test("leaves every row as it was", async () => {
    expect(await dump()).toBe(before);
  });
});
