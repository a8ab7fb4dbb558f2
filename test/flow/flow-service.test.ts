import { randomUUID } from "node:crypto";
import { type Client, ConnectError } from "@connectrpc/connect";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { Flow } from "../../gen/taskledger/v1/flow_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { callerFrom, clientOf, outcomeOf } from "../client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";

/** The definition of a flow of two tasks. */
function definitionOf(name: string, description = "moves data"): string {
  return `name: ${name}\ndescription: ${description}\ntasks:\n  - name: extract\n  - name: load\n    depends_on: [extract]\n`;
}

describe("FlowService", () => {
  let database: TestDatabase;
  let ours: Client<typeof FlowService>;
  let theirs: Client<typeof FlowService>;
  let ourId: string;
  let bystanders: Flow[];
  let name: string;

  beforeAll(async () => {
    database = await openDatabase();
    ourId = await givenOrganization(database.orm);
    ours = clientOf(FlowService, database, callerFrom(ourId, { kind: "service-account" }));
    theirs = clientOf(FlowService, database, callerFrom(await givenOrganization(database.orm)));
    bystanders = [];
    for (const client of [ours, theirs]) {
      bystanders.push((await client.createFlow({ definition: definitionOf("bystander") })).flow!);
    }
  });
  afterAll(async () => {
    for (const [index, client] of [ours, theirs].entries()) {
      const { flow } = await client.getFlow({ lookup: { case: "name", value: "bystander" } });
      expect(flow).toEqual(bystanders[index]);
    }
    await database.close();
  });
  beforeEach(() => {
    name = `flow ${randomUUID()}`;
  });

  async function givenFlow(client = ours): Promise<Flow> {
    return (await client.createFlow({ definition: definitionOf(name) })).flow!;
  }

  const getById = (id: string, version = 0) => ours.getFlow({ lookup: { case: "id", value: id }, version });

  describe("CreateFlow", () => {
    test("creates a flow in version 1, with its definition and tasks", async () => {
      const { flow, outcome } = await ours.createFlow({ definition: definitionOf(name) });
      expect(outcome).toBe(Outcome.CREATED);
      expect(flow).toMatchObject({
        organizationId: ourId,
        name,
        description: "moves data",
        version: 1,
        definition: definitionOf(name),
        tasks: [
          { name: "extract", executor: "extract", dependsOn: [] },
          { name: "load", executor: "load", dependsOn: ["extract"] },
        ],
        modifiedBy: "service-account",
      });
      expect(flow!.deleteTime).toBeUndefined();
      expect((await getById(flow!.id)).flow).toEqual(flow);
    });

    test("returns the flow that is there with the very same definition", async () => {
      const flow = await givenFlow();
      expect(await ours.createFlow({ definition: definitionOf(name) })).toMatchObject({
        flow,
        outcome: Outcome.UNCHANGED,
      });
    });

    test("refuses a name that a flow with another definition has", async () => {
      const flow = await givenFlow();
      const again = ours.createFlow({ definition: `${definitionOf(name)}# changed\n` });
      expect(await outcomeOf(again)).toBe("NAME_TAKEN");
      expect((await getById(flow.id)).flow).toEqual(flow);
    });

    test("takes a name that only another organization's or a deleted flow has", async () => {
      await givenFlow(theirs);
      const deleted = await givenFlow();
      await ours.deleteFlow({ id: deleted.id });
      const { flow, outcome } = await ours.createFlow({ definition: definitionOf(name) });
      expect(outcome).toBe(Outcome.CREATED);
      expect(flow!.id).not.toBe(deleted.id);
    });

    test("names each problem of a definition with line and column", async () => {
      const definition = `name: ${name}\ntasks:\n  - name: load\n    depends_on: [lod, lead]\n`;
      const error = ConnectError.from(await ours.createFlow({ definition }).catch((thrown) => thrown));
      expect(error.rawMessage).toMatch(
        /^definition: 2 problems; first, line 4, column 18: tasks\[0\]\.depends_on\[0\]: /,
      );
      const { fieldViolations } = error.findDetails(BadRequestSchema)[0]!;
      expect(fieldViolations).toMatchObject([
        {
          field: "definition",
          description: expect.stringMatching(/^line 4, column 18: tasks\[0\]\.depends_on\[0\]: /),
        },
        {
          field: "definition",
          description: expect.stringMatching(/^line 4, column 23: tasks\[0\]\.depends_on\[1\]: /),
        },
      ]);
      expect(await outcomeOf(ours.createFlow({ definition }))).toBe("DEFINITION_INVALID");
    });

    test("keeps texts that look like SQL as they are", async () => {
      const description = "'); drop table flow; -- \\\\ ' ? ?? :x $1 😀";
      const definition = `name: ${JSON.stringify(`${name} ' ? \\ $1`)}\ndescription: ${JSON.stringify(description)}\ntasks: [{name: a}]\n`;
      const { flow } = await ours.createFlow({ definition });
      expect(flow).toMatchObject({ name: `${name} ' ? \\ $1`, description, definition });
      const found = await ours.getFlow({ lookup: { case: "name", value: flow!.name } });
      expect(found.flow).toEqual(flow);
    });

    // Many servers deploy the same flow at once: one makes it, and the others find it.
    test("gives one flow to twenty that create it at once", async () => {
      const definition = definitionOf(name);
      const answers = await Promise.all(Array.from({ length: 20 }, () => ours.createFlow({ definition })));
      expect(new Set(answers.map(({ flow }) => flow!.id)).size).toBe(1);
      expect(answers.filter(({ outcome }) => outcome === Outcome.CREATED)).toHaveLength(1);
    });

    // The same with different definitions: one gets the name, and the others are told that it is taken.
    test("gives the name to one of twenty that want it for different flows", async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          outcomeOf(ours.createFlow({ definition: definitionOf(name, `copy ${n}`) })),
        ),
      );
      expect(outcomes.sort()).toEqual([...Array(19).fill("NAME_TAKEN"), "ok"]);
    });
  });

  describe("UpdateFlow", () => {
    test("makes a new version and keeps the old one", async () => {
      const { id, etag, ...old } = await givenFlow();
      const { flow, outcome } = await ours.updateFlow({
        id,
        etag,
        definition: definitionOf(`${name} b`, "two"),
      });
      expect(outcome).toBe(Outcome.UPDATED);
      expect(flow).toMatchObject({ id, name: `${name} b`, description: "two", version: 2 });
      expect(flow!.etag).not.toBe(etag);
      const { name: oldName, definition, tasks, version, updateTime } = old;
      expect((await getById(id, 1)).flow).toMatchObject({
        name: oldName,
        definition,
        tasks,
        version,
        updateTime,
      });
      expect((await getById(id)).flow).toEqual(flow);
    });

    test("returns the flow unchanged if it has that definition already, whatever the etag", async () => {
      const flow = await givenFlow();
      const definition = definitionOf(name, "two");
      const first = await ours.updateFlow({ id: flow.id, etag: flow.etag, definition });
      const again = await ours.updateFlow({ id: flow.id, etag: flow.etag, definition });
      expect(again).toMatchObject({ flow: first.flow, outcome: Outcome.UNCHANGED });
    });

    test("refuses an etag that is out of date", async () => {
      const { id, etag } = await givenFlow();
      await ours.updateFlow({ id, etag, definition: definitionOf(name, "two") });
      const late = ours.updateFlow({ id, etag, definition: definitionOf(name, "three") });
      expect(await outcomeOf(late)).toBe("ETAG_OUT_OF_DATE");
    });

    test("refuses the name of another flow and stores nothing", async () => {
      const flow = await givenFlow();
      const taken = ours.updateFlow({
        id: flow.id,
        etag: flow.etag,
        definition: definitionOf("bystander", "mine"),
      });
      expect(await outcomeOf(taken)).toBe("NAME_TAKEN");
      expect((await getById(flow.id)).flow).toEqual(flow);
    });

    test("refuses a deleted flow, a bad definition and another organization's flow", async () => {
      const flow = await givenFlow();
      const update = (id: string, definition: string, etag = flow.etag) =>
        outcomeOf(ours.updateFlow({ id, etag, definition }));
      expect(await update(flow.id, "tasks: []")).toBe("DEFINITION_INVALID");
      expect(await update(bystanders[1]!.id, definitionOf(name, "x"))).toBe("NOT_FOUND");
      expect(await update(randomUUID(), definitionOf(name, "x"))).toBe("NOT_FOUND");
      await ours.deleteFlow({ id: flow.id });
      expect(await update(flow.id, definitionOf(name, "x"))).toBe("FLOW_DELETED");
    });

    // Each waits for the name that the other is about to give up: the database ends one of them, which is run again.
    test("answers both of two flows that swap their names at once", async () => {
      const a = await givenFlow();
      const b = (await ours.createFlow({ definition: definitionOf(`${name} b`) })).flow!;
      const outcomes = await Promise.all(
        [a, b].map(({ id, etag }, index) =>
          outcomeOf(ours.updateFlow({ id, etag, definition: definitionOf([b, a][index]!.name, "swapped") })),
        ),
      );
      expect(outcomes).toEqual(["NAME_TAKEN", "NAME_TAKEN"]);
    });

    // Two people edit the same version: one of them is told to read again.
    test("lets one of twenty that update at once through", async () => {
      const { id, etag } = await givenFlow();
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          outcomeOf(ours.updateFlow({ id, etag, definition: definitionOf(name, `copy ${n}`) })),
        ),
      );
      expect(outcomes.sort()).toEqual([...Array(19).fill("ETAG_OUT_OF_DATE"), "ok"]);
    });
  });

  describe("GetFlow", () => {
    test("finds a deleted flow by its id and not by its name", async () => {
      const { id } = await givenFlow();
      const { flow } = await ours.deleteFlow({ id });
      expect((await getById(id.toUpperCase())).flow).toEqual(flow);
      expect(await outcomeOf(ours.getFlow({ lookup: { case: "name", value: name } }))).toBe("NOT_FOUND");
    });

    test("does not find another organization's flow, nor a version that is not there", async () => {
      const flow = await givenFlow(theirs);
      expect(await outcomeOf(getById(flow.id))).toBe("NOT_FOUND");
      expect(await outcomeOf(ours.getFlow({ lookup: { case: "name", value: name } }))).toBe("NOT_FOUND");
      expect(await outcomeOf(getById(bystanders[0]!.id, 2))).toBe("NOT_FOUND");
    });
  });

  describe("DeleteFlow", () => {
    test("deletes once; the second time returns it unchanged, whatever the etag", async () => {
      const { id, etag } = await givenFlow();
      const { flow } = await ours.deleteFlow({ id, etag });
      expect(flow!.deleteTime).toBeDefined();
      expect(flow!.etag).not.toBe(etag);
      expect((await ours.deleteFlow({ id, etag })).flow).toEqual(flow);
    });

    test("refuses an etag that is out of date, and another organization's flow", async () => {
      const { id } = await givenFlow();
      expect(await outcomeOf(ours.deleteFlow({ id, etag: "0" }))).toBe("ETAG_OUT_OF_DATE");
      expect(await outcomeOf(theirs.deleteFlow({ id }))).toBe("NOT_FOUND");
      expect((await getById(id)).flow!.deleteTime).toBeUndefined();
    });
  });

  describe("ValidateFlow", () => {
    test("returns the tasks in topological order and stores nothing", async () => {
      const { problems, levels } = await ours.validateFlow({ definition: definitionOf(name) });
      expect(problems).toEqual([]);
      expect(levels.map(({ taskNames }) => taskNames)).toEqual([["extract"], ["load"]]);
      expect(await outcomeOf(ours.getFlow({ lookup: { case: "name", value: name } }))).toBe("NOT_FOUND");
    });

    test("answers with the problems, also for the empty definition", async () => {
      const { problems, levels } = await ours.validateFlow({
        definition: "name: x\ntasks: [{name: a, depends_on: [b]}]",
      });
      expect(problems).toMatchObject([{ path: "tasks[0].depends_on[0]", line: 2, code: "unknown_task" }]);
      expect(levels).toEqual([]);
      expect((await ours.validateFlow({})).problems).toMatchObject([{ code: "empty_document" }]);
    });
  });

  describe("ListFlows", () => {
    let client: Client<typeof FlowService>;
    let ids: string[];

    beforeAll(async () => {
      client = clientOf(FlowService, database, callerFrom(await givenOrganization(database.orm)));
      ids = [];
      for (let n = 0; n < 7; n++) {
        ids.unshift((await client.createFlow({ definition: definitionOf(`flow ${n}`) })).flow!.id);
      }
      await client.deleteFlow({ id: ids[2]! });
    });

    async function listAll(request: { pageSize: number; showDeleted?: boolean }) {
      const found: Flow[] = [];
      for (let pageToken = ""; ; ) {
        const page = await client.listFlows({ ...request, pageToken });
        found.push(...page.flows);
        pageToken = page.nextPageToken;
        if (pageToken === "") return found;
        expect(page.flows.length).toBeGreaterThan(0);
      }
    }

    test.each([1, 2, 3, 6, 7, 1000])(
      "returns each flow once, newest first, in pages of %i",
      async (pageSize) => {
        const live = ids.filter((id) => id !== ids[2]);
        expect((await listAll({ pageSize })).map(({ id }) => id)).toEqual(live);
        expect((await listAll({ pageSize, showDeleted: true })).map(({ id }) => id)).toEqual(ids);
      },
    );

    test("returns neither definitions nor tasks", async () => {
      for (const { definition, tasks } of await listAll({ pageSize: 0 })) {
        expect({ definition, tasks }).toEqual({ definition: "", tasks: [] });
      }
    });

    test("goes on with another page size, and with no other filter, method or organization", async () => {
      const { nextPageToken: pageToken } = await client.listFlows({ pageSize: 2 });
      const { flows } = await client.listFlows({ pageSize: 3, pageToken });
      expect(flows.map(({ id }) => id)).toEqual(ids.slice(3, 6));
      const refused = await Promise.all([
        outcomeOf(client.listFlows({ pageToken, showDeleted: true })),
        outcomeOf(client.listFlowVersions({ id: ids[0]!, pageToken })),
        outcomeOf(theirs.listFlows({ pageToken })),
      ]);
      expect(refused).toEqual(Array(3).fill("PAGE_TOKEN_INVALID"));
    });

    test("makes pages that a client can take of the longest descriptions", async () => {
      const organization = await givenOrganization(database.orm);
      const rich = clientOf(FlowService, database, callerFrom(organization));
      await asSuperuser(
        database.superuserUrl,
        `insert into flow (organization_id, id, name, description, version, run_count, etag, modified_by, create_time, update_time)
        select $1, gen_random_uuid(), 'flow ' || n, repeat('😀', 4096), 1, 0, 1, 'system', now(), now()
        from generate_series(1, 300) as n`,
        [organization],
      );
      const first = await rich.listFlows({ pageSize: 1000 });
      const second = await rich.listFlows({ pageSize: 1000, pageToken: first.nextPageToken });
      expect(first.flows.length * 4 * 4096).toBeLessThan(4 * 1024 * 1024);
      expect(first.flows.length + second.flows.length).toBe(300);
      expect(second.nextPageToken).toBe("");
    });
  });

  describe("ListFlowVersions", () => {
    test("returns each version once, newest first", async () => {
      let flow = await givenFlow();
      for (const description of ["two", "three"]) {
        const { id, etag } = flow;
        flow = (await ours.updateFlow({ id, etag, definition: definitionOf(name, description) })).flow!;
      }
      const first = await ours.listFlowVersions({ id: flow.id, pageSize: 2 });
      const second = await ours.listFlowVersions({
        id: flow.id,
        pageSize: 2,
        pageToken: first.nextPageToken,
      });
      const versions = [...first.versions, ...second.versions];
      expect(versions.map(({ version, description }) => [version, description])).toEqual([
        [3, "three"],
        [2, "two"],
        [1, "moves data"],
      ]);
      expect(second.nextPageToken).toBe("");
    });

    test("takes no page token of another flow, and does not find another organization's", async () => {
      const { id, etag } = await givenFlow();
      await ours.updateFlow({ id, etag, definition: definitionOf(name, "two") });
      const { nextPageToken: pageToken } = await ours.listFlowVersions({ id, pageSize: 1 });
      const other = ours.listFlowVersions({ id: bystanders[0]!.id, pageToken });
      expect(await outcomeOf(other)).toBe("PAGE_TOKEN_INVALID");
      expect(await outcomeOf(theirs.listFlowVersions({ id }))).toBe("NOT_FOUND");
    });
  });

  // What stands in a statement's text ends in the database's log when the statement fails.
  test("never writes a definition or description into the text of a statement", async () => {
    const query = vi.spyOn(pg.Client.prototype, "query");
    const { id, etag } = (await ours.createFlow({ definition: definitionOf(name, "SECRET") })).flow!;
    await ours.updateFlow({ id, etag, definition: definitionOf(name, "SECRET 2") });
    await ours.deleteFlow({ id });
    const statements = query.mock.calls.map(([statement]) => {
      const { text } = statement as unknown as { text?: string };
      return text ?? String(statement);
    });
    query.mockRestore();
    expect(statements.filter((text) => text.includes("insert into flow"))).toHaveLength(3);
    expect(statements.filter((text) => text.includes("SECRET"))).toEqual([]);
  });
});
