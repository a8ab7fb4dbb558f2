import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  FlowExecution_Dispatch as Dispatch,
  type FlowExecution,
  FlowExecution_Status as Status,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  type CreateFlowExecutionRequestSchema,
  FlowExecutionService,
  type ListFlowExecutionsRequestSchema,
} from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { callerFrom, clientOf, outcomeOf } from "../client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";

interface Clients {
  readonly flows: Client<typeof FlowService>;
  readonly runs: Client<typeof FlowExecutionService>;
}

describe("FlowExecutionService", () => {
  let database: TestDatabase;
  let ourId: string;
  let ours: Clients;
  let theirs: Clients;
  let bystanders: FlowExecution[];
  let flowId: string;

  beforeAll(async () => {
    database = await openDatabase();
    ourId = await givenOrganization(database.orm);
    ours = clientsOf(ourId);
    theirs = clientsOf(await givenOrganization(database.orm));
    bystanders = [];
    for (const clients of [ours, theirs]) {
      bystanders.push(
        await givenRun(await givenFlow(clients), { requestId: "bystander", input: text("mine") }, clients),
      );
    }
  });
  afterAll(async () => {
    for (const [index, { runs }] of [ours, theirs].entries()) {
      const { flowExecution } = await runs.getFlowExecution({ id: bystanders[index]!.id });
      expect(flowExecution).toEqual(bystanders[index]);
    }
    await database.close();
  });
  beforeEach(async () => {
    flowId = await givenFlow(ours);
  });

  function clientsOf(organizationId: string): Clients {
    const caller = callerFrom(organizationId, { keyName: "deploy", kind: "integration" });
    return {
      flows: clientOf(FlowService, database, caller),
      runs: clientOf(FlowExecutionService, database, caller),
    };
  }

  const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });

  function definitionOf(name: string, tasks: number): string {
    return `name: ${name}\ntasks:\n${Array.from({ length: tasks }, (_, n) => `  - name: task ${n}\n`).join("")}`;
  }

  async function givenFlow({ flows }: Clients): Promise<string> {
    const name = `flow ${randomUUID()}`;
    return (await flows.createFlow({ definition: definitionOf(name, 2) })).flow!.id;
  }

  async function givenSecondVersion(): Promise<void> {
    const { flow } = await ours.flows.getFlow({ lookup: { case: "id", value: flowId } });
    await ours.flows.updateFlow({ id: flowId, etag: flow!.etag, definition: definitionOf(flow!.name, 5) });
  }

  type Request = MessageInitShape<typeof CreateFlowExecutionRequestSchema> & { $typeName?: never };

  function createRun(more: Request = {}, { runs } = ours) {
    return runs.createFlowExecution({
      flowId,
      requestId: randomUUID(),
      dispatch: Dispatch.EXTERNAL,
      ...more,
    });
  }

  async function givenRun(id = flowId, more: Request = {}, clients = ours): Promise<FlowExecution> {
    return (await createRun({ flowId: id, ...more }, clients)).flowExecution!;
  }

  describe("CreateFlowExecution", () => {
    test("creates a queued run of the newest version", async () => {
      await givenSecondVersion();
      const input = text("'); drop table flow; -- ? $1 \\");
      const { flowExecution: run, outcome } = await createRun({
        input,
        labels: { 10: "b", 2: "a", team: "x" },
      });
      expect(outcome).toBe(Outcome.CREATED);
      expect(run).toMatchObject({
        organizationId: ourId,
        flowId,
        flowVersion: 2,
        runNumber: 1,
        status: Status.QUEUED,
        dispatch: Dispatch.EXTERNAL,
        input,
        labels: { 10: "b", 2: "a", team: "x" },
        modifiedBy: "integration",
        revision: 1n,
      });
      expect([run!.startTime, run!.endTime, run!.deleteTime]).toEqual([undefined, undefined, undefined]);
      const { flowExecution: found } = await ours.runs.getFlowExecution({ id: run!.id.toUpperCase() });
      expect(found).toEqual(run);
    });

    test("knows how many tasks the version has that it runs", async () => {
      await givenSecondVersion();
      const older = await givenRun(flowId, { flowVersion: 1 });
      const newest = await givenRun(flowId);
      expect(await totalTasksOf(older.id)).toBe(2);
      expect(await totalTasksOf(newest.id)).toBe(5);
    });

    describe("with an input_schema", () => {
      const definition = (name: string, schema: object) =>
        `name: ${name}\ntasks: [{name: a}]\ninput_schema: ${JSON.stringify(schema)}\n`;

      async function givenSchema(schema: object): Promise<void> {
        const { flow } = await ours.flows.getFlow({ lookup: { case: "id", value: flowId } });
        const { name, etag } = flow!;
        await ours.flows.updateFlow({ id: flowId, etag, definition: definition(name, schema) });
      }

      test("refuses an input that does not match, and says where", async () => {
        await givenSchema({ type: "string" });
        const outcome = (more: Request) => outcomeOf(createRun(more));
        expect(await outcome({ input: { kind: { case: "numberValue", value: 1 } } })).toBe("INPUT_MISMATCH");
        expect(await outcome({})).toBe("INPUT_MISMATCH");
        expect(await outcome({ input: text("a") })).toBe("ok");
        // The first version has no schema.
        expect(await outcome({ flowVersion: 1 })).toBe("ok");
      });

      test("answers a repeated request as before, whatever the schema says by now", async () => {
        const requestId = randomUUID();
        const first = await createRun({ requestId, input: text("a") });
        await givenSchema({ type: "number" });
        const again = await createRun({ requestId, input: text("a") });
        expect(again.flowExecution).toEqual(first.flowExecution);
        expect(again.outcome).toBe(Outcome.UNCHANGED);
      });

      test("holds no lock while an input is checked that takes for ever", async () => {
        await givenSchema({ type: "string", pattern: "^(a+)+$" });
        const order: string[] = [];
        await Promise.all([
          outcomeOf(createRun({ input: text(`${"a".repeat(60)}!`) })).then((outcome) => order.push(outcome)),
          outcomeOf(createRun({ flowVersion: 1 })).then((outcome) => order.push(outcome)),
        ]);
        expect(order).toEqual(["ok", "INPUT_MISMATCH"]);
      });
    });

    test("writes who created it as the first event", async () => {
      const { id } = await givenRun();
      const events = await asSuperuser(
        database.superuserUrl,
        "select * from event where flow_execution_id = $1",
        [id],
      );
      expect(events).toMatchObject([
        {
          organization_id: ourId,
          revision: "1",
          task_execution_id: null,
          type: "create",
          from_status: null,
          to_status: "queued",
          actor_kind: "integration",
          actor_key_name: "deploy",
          request_id: expect.stringMatching(/./),
        },
      ]);
    });

    test("returns the run that the same request created, also when it says less now", async () => {
      const request = {
        requestId: randomUUID(),
        flowVersion: 1,
        input: text("x"),
        labels: { b: "1", a: "2" },
      };
      const flowExecution = await givenRun(flowId, request);
      const repeats: Request[] = [
        request,
        { requestId: request.requestId },
        { ...request, labels: { a: "2", b: "1" } },
      ];
      for (const repeat of repeats) {
        expect(await createRun(repeat)).toMatchObject({ flowExecution, outcome: Outcome.UNCHANGED });
      }
    });

    test("returns it also when the flow has a new version by now, or is deleted", async () => {
      const requestId = randomUUID();
      const { id } = await givenRun(flowId, { requestId });
      await givenSecondVersion();
      await ours.flows.deleteFlow({ id: flowId });
      const { flowExecution, outcome } = await createRun({ requestId });
      expect({ id: flowExecution!.id, outcome }).toEqual({ id, outcome: Outcome.UNCHANGED });
    });

    test("refuses a request id that was used for something else", async () => {
      await givenSecondVersion();
      const requestId = randomUUID();
      await givenRun(flowId, { requestId, flowVersion: 1, input: text("x"), labels: { a: "1" } });
      const others: Request[] = [
        { flowId: bystanders[0]!.flowId },
        { flowVersion: 2 },
        { input: text("y") },
        { labels: { a: "2" } },
        { labels: { a: "1", b: "1" } },
      ];
      for (const other of others) {
        expect(await outcomeOf(createRun({ requestId, ...other })), JSON.stringify(other)).toBe(
          "REQUEST_ID_REUSED",
        );
      }
    });

    test("does not mind a request id of another organization", async () => {
      const requestId = randomUUID();
      await givenRun(await givenFlow(theirs), { requestId }, theirs);
      expect((await createRun({ requestId })).outcome).toBe(Outcome.CREATED);
    });

    test("refuses flows and versions that are not there, another organization's and deleted ones", async () => {
      const outcome = (more: Request) => outcomeOf(createRun(more));
      expect(await outcome({ flowId: randomUUID() })).toBe("NOT_FOUND");
      expect(await outcome({ flowId: bystanders[1]!.flowId })).toBe("NOT_FOUND");
      expect(await outcome({ flowVersion: 2 })).toBe("NOT_FOUND");
      await ours.flows.deleteFlow({ id: flowId });
      expect(await outcome({})).toBe("FLOW_DELETED");
    });

    test("refuses an input that breaks a limit, and does not count the run", async () => {
      expect(await outcomeOf(createRun({ input: text("x".repeat(1_048_576)) }))).toBe("PAYLOAD_REFUSED");
      expect(await outcomeOf(createRun({ input: text("\0") }))).toBe("PAYLOAD_REFUSED");
      expect(await outcomeOf(createRun({ flowVersion: 9 }))).toBe("NOT_FOUND");
      expect((await givenRun()).runNumber).toBe(1);
    });

    test("tells no input at all from JSON null", async () => {
      const input = { kind: { case: "nullValue" as const, value: 0 as const } };
      expect((await givenRun(flowId, { input })).input).toMatchObject(input);
      expect((await givenRun()).input).toBeUndefined();
    });

    // A client whose answer was lost repeats its request while the first one still runs on another server.
    test("gives one run to twenty with the same request id at once", async () => {
      const requestId = randomUUID();
      const answers = await Promise.all(Array.from({ length: 20 }, () => createRun({ requestId })));
      expect(new Set(answers.map(({ flowExecution }) => flowExecution!.id)).size).toBe(1);
      expect(answers.filter(({ outcome }) => outcome === Outcome.CREATED)).toHaveLength(1);
      expect((await givenRun()).runNumber).toBe(2);
    });

    // The same id for two flows at once: their rows are different, so only the key of the request id meets.
    test("gives a request id that two flows want at once to one of them", async () => {
      const other = await givenFlow(ours);
      const requestId = randomUUID();
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          outcomeOf(createRun({ requestId, flowId: n % 2 ? other : flowId })),
        ),
      );
      expect(outcomes.sort()).toEqual([...Array(10).fill("REQUEST_ID_REUSED"), ...Array(10).fill("ok")]);
    });

    test("numbers twenty runs that are created at once without gaps", async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => createRun()));
      const numbers = answers.map(({ flowExecution }) => flowExecution!.runNumber).sort((a, b) => a - b);
      expect(numbers).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
    });

    // What stands in a statement's text ends in the database's log when the statement fails.
    test("never writes the input into the text of a statement", async () => {
      const query = vi.spyOn(pg.Client.prototype, "query");
      await givenRun(flowId, { input: text("SECRET"), labels: { label: "SECRET" } });
      const statements = query.mock.calls.map(([statement]) => {
        const { text } = statement as unknown as { text?: string };
        return text ?? String(statement);
      });
      query.mockRestore();
      expect(statements.filter((sql) => sql.includes("insert into flow_execution"))).toHaveLength(1);
      expect(statements.filter((sql) => sql.includes("SECRET"))).toEqual([]);
    });

    async function totalTasksOf(id: string): Promise<number | undefined> {
      const sql = "select total_tasks from flow_execution where id = $1";
      return (await asSuperuser<{ total_tasks: number }>(database.superuserUrl, sql, [id]))[0]?.total_tasks;
    }
  });

  describe("GetFlowExecution", () => {
    test("finds neither what is missing nor another organization's", async () => {
      expect(await outcomeOf(ours.runs.getFlowExecution({ id: randomUUID() }))).toBe("NOT_FOUND");
      expect(await outcomeOf(ours.runs.getFlowExecution({ id: bystanders[1]!.id }))).toBe("NOT_FOUND");
    });
  });

  describe("Cancel-, Delete- and UndeleteFlowExecution", () => {
    test("return the run after the change", async () => {
      const { id } = await givenRun();
      const cancelled = (await ours.runs.cancelFlowExecution({ id: id.toUpperCase() })).flowExecution!;
      expect(cancelled).toMatchObject({ status: Status.CANCELLED, revision: 2n });
      const deleted = (await ours.runs.deleteFlowExecution({ id, etag: cancelled.etag })).flowExecution!;
      expect(deleted.status).toBe(Status.DELETED);
      expect(deleted.deleteTime).toBeDefined();
      const undeleted = (await ours.runs.undeleteFlowExecution({ id })).flowExecution!;
      expect(undeleted).toMatchObject({ status: Status.CANCELLED, revision: 4n });
      expect(undeleted.deleteTime).toBeUndefined();
    });

    test("do not find another organization's run", async () => {
      const { id } = bystanders[1]!;
      expect(await outcomeOf(ours.runs.cancelFlowExecution({ id }))).toBe("NOT_FOUND");
      expect(await outcomeOf(ours.runs.deleteFlowExecution({ id }))).toBe("NOT_FOUND");
      expect(await outcomeOf(ours.runs.undeleteFlowExecution({ id }))).toBe("NOT_FOUND");
    });
  });

  describe("ListFlowExecutions", () => {
    let clients: Clients;
    let listedFlow: string;
    let ids: string[];

    // Newest first: 0 queued, 1 cancelled, 2 deleted, 3 and 4 queued, 5 of another flow.
    beforeAll(async () => {
      clients = clientsOf(await givenOrganization(database.orm));
      listedFlow = await givenFlow(clients);
      const other = await givenFlow(clients);
      ids = [];
      for (const id of [other, listedFlow, listedFlow, listedFlow, listedFlow, listedFlow]) {
        ids.unshift((await givenRun(id, { input: text("x") }, clients)).id);
      }
      await clients.runs.cancelFlowExecution({ id: ids[1]! });
      await clients.runs.deleteFlowExecution({ id: ids[2]! });
    });

    async function listAll(
      request: MessageInitShape<typeof ListFlowExecutionsRequestSchema> & { $typeName?: never },
    ) {
      const found: FlowExecution[] = [];
      for (let pageToken = ""; ; ) {
        const page = await clients.runs.listFlowExecutions({ ...request, pageToken });
        found.push(...page.flowExecutions);
        pageToken = page.nextPageToken;
        if (pageToken === "") return found;
      }
    }

    test.each([0, 1, 2, 5, 6, 1000])(
      "returns each run once, newest first, in pages of %i",
      async (pageSize) => {
        const indexesOf = async (request: Parameters<typeof listAll>[0]) =>
          (await listAll({ pageSize, ...request })).map(({ id }) => ids.indexOf(id));
        expect(await indexesOf({})).toEqual([0, 1, 3, 4, 5]);
        expect(await indexesOf({ showDeleted: true })).toEqual([0, 1, 2, 3, 4, 5]);
        expect(await indexesOf({ flowId: listedFlow.toUpperCase() })).toEqual([0, 1, 3, 4]);
        expect(await indexesOf({ statuses: [Status.CANCELLED] })).toEqual([1]);
        expect(await indexesOf({ statuses: [Status.DELETED] })).toEqual([2]);
        expect(await indexesOf({ statuses: [Status.CANCELLED], showDeleted: true })).toEqual([1, 2]);
        expect(await indexesOf({ statuses: [Status.QUEUED, Status.CANCELLED], flowId: listedFlow })).toEqual([
          0, 1, 3, 4,
        ]);
        expect(await indexesOf({ statuses: [Status.FAILED] })).toEqual([]);
        expect(await indexesOf({ flowId: bystanders[0]!.flowId })).toEqual([]);
      },
    );

    test("returns no input", async () => {
      const runs = await listAll({ showDeleted: true });
      expect(runs.map(({ input }) => input)).toEqual(Array(6).fill(undefined));
    });

    test("neither skips nor repeats a run when others are created between two pages", async () => {
      const lists = clientsOf(await givenOrganization(database.orm));
      const flow = await givenFlow(lists);
      const before = [
        await givenRun(flow, {}, lists),
        await givenRun(flow, {}, lists),
        await givenRun(flow, {}, lists),
      ];
      const first = await lists.runs.listFlowExecutions({ pageSize: 1 });
      await givenRun(flow, {}, lists);
      await lists.runs.deleteFlowExecution({ id: before[2]!.id });
      const second = await lists.runs.listFlowExecutions({ pageToken: first.nextPageToken });
      const found = [...first.flowExecutions, ...second.flowExecutions].map(({ id }) => id);
      expect(found).toEqual(before.map(({ id }) => id).reverse());
    });

    test("takes a page token for the same filter only, in whatever order or words it is written", async () => {
      const { runs } = clients;
      const statuses = [Status.QUEUED, Status.DELETED];
      const { nextPageToken: pageToken } = await runs.listFlowExecutions({ statuses, pageSize: 1 });
      const outcome = (request: Parameters<typeof runs.listFlowExecutions>[0]) =>
        outcomeOf(runs.listFlowExecutions({ ...request, pageToken } as typeof request));
      expect(await outcome({ statuses, pageSize: 7 })).toBe("ok");
      expect(await outcome({ statuses: [Status.DELETED, Status.QUEUED] })).toBe("ok");
      expect(await outcome({ statuses: [Status.QUEUED], showDeleted: true })).toBe("ok");
      expect(await outcome({ statuses: [Status.QUEUED] })).toBe("PAGE_TOKEN_INVALID");
      expect(await outcome({ statuses, flowId: listedFlow })).toBe("PAGE_TOKEN_INVALID");
      expect(await outcomeOf(ours.runs.listFlowExecutions({ statuses, pageToken }))).toBe(
        "PAGE_TOKEN_INVALID",
      );
    });
  });
});
