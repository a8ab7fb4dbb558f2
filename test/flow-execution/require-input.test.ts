import { randomUUID } from "node:crypto";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { outcomeOf } from "../client.ts";
import { asSuperuser, openDatabase } from "../database.ts";
import { type Fleet, openFleet } from "../dispatch/fleet.ts";

describe("the input of a run", () => {
  let fleet: Fleet;
  let neighbour: Fleet;
  beforeAll(async () => {
    fleet = await openFleet(await openDatabase({ pool: 3, acquireTimeoutMs: 1500 }));
    neighbour = await openFleet(fleet.database);
  });
  afterAll(() => fleet.close());

  async function givenFlow({ flows }: Fleet, schema: object): Promise<string> {
    const definition = { name: randomUUID(), input_schema: schema, tasks: [{ name: "a" }] };
    return (await flows.createFlow({ definition: JSON.stringify(definition) })).flow!.id;
  }
  const create = (
    { runs }: Fleet,
    flowId: string,
    input?: JsonValue,
    dispatch: Dispatch = Dispatch.MANAGED,
  ) =>
    runs.createFlowExecution({
      flowId,
      requestId: randomUUID(),
      dispatch,
      ...(input !== undefined && { input: fromJson(ValueSchema, input) }),
    });
  const rows = async () => {
    const [row] = await asSuperuser<{ counts: string }>(
      fleet.database.superuserUrl,
      `select concat_ws('/', (select count(*) from flow_execution), (select count(*) from task_execution),
         (select count(*) from event), (select sum(run_count) from flow)) as counts`,
    );
    return row!.counts;
  };

  test.each([Dispatch.MANAGED, Dispatch.EXTERNAL])(
    "that does not match is refused with where, before anything is written (dispatch %i)",
    async (dispatch) => {
      const schema = {
        type: "object",
        required: ["rows"],
        properties: { rows: { items: { type: "number" } } },
      };
      const flowId = await givenFlow(fleet, schema);
      const before = await rows();
      const error = ConnectError.from(
        await create(fleet, flowId, { rows: [1, "two"] }, dispatch).catch((thrown) => thrown),
      );
      expect(await outcomeOf(Promise.reject(error))).toBe("INPUT_MISMATCH");
      expect(error.findDetails(BadRequestSchema)[0]!.fieldViolations).toMatchObject([
        { field: "input.rows[1]", description: "must be number" },
      ]);
      expect(await outcomeOf(create(fleet, flowId, undefined, dispatch))).toBe("INPUT_MISMATCH");
      expect(await outcomeOf(create(fleet, flowId, {}, dispatch))).toBe("INPUT_MISMATCH");
      expect(await rows()).toBe(before);
      const { flowExecution } = await create(fleet, flowId, { rows: [1, 2] }, dispatch);
      expect(flowExecution!.runNumber).toBe(1);
    },
  );

  test("is checked against the schema of the version that is run", async () => {
    const flowId = await givenFlow(fleet, { type: "string" });
    const { flow } = await fleet.flows.getFlow({ lookup: { case: "id", value: flowId } });
    const definition = flow!.definition.replace('"string"', '"number"');
    await fleet.flows.updateFlow({ id: flowId, etag: flow!.etag, definition });
    expect(await outcomeOf(create(fleet, flowId, "text"))).toBe("INPUT_MISMATCH");
    expect(await outcomeOf(create(fleet, flowId, 1))).toBe("ok");
    const first = { flowId, flowVersion: 1, requestId: randomUUID(), dispatch: Dispatch.MANAGED };
    expect(
      await outcomeOf(fleet.runs.createFlowExecution({ ...first, input: fromJson(ValueSchema, "text") })),
    ).toBe("ok");
    // The same request again: it was checked when it was new.
    expect(await outcomeOf(fleet.runs.createFlowExecution(first))).toBe("ok");
  });

  test("whose schema is no schema is refused with the flow, where it stands", async () => {
    const definition = "name: x\ninput_schema:\n  type: strin\ntasks: [{name: a}]";
    const { problems, levels } = await fleet.flows.validateFlow({ definition });
    expect(problems).toMatchObject([{ path: "input_schema", line: 3, column: 3, code: "bad_schema" }]);
    expect(levels).toEqual([]);
    expect(await outcomeOf(fleet.flows.createFlow({ definition }))).toBe("DEFINITION_INVALID");
  });

  // A tenant's pattern takes a second each time, and is asked for more often than the service has connections.
  test("that is slow to check holds no connection, and keeps no other organization from its work", async () => {
    const slow = await givenFlow(fleet, { type: "string", pattern: "^(a+)+$" });
    const quick = await givenFlow(neighbour, { type: "number" });
    const creates = Array.from({ length: 6 }, () => outcomeOf(create(fleet, slow, `${"a".repeat(60)}!`)));
    let done = 0;
    for (const call of creates) call.then(() => done++);
    for (let round = 0; round < 3; round++) {
      expect(await outcomeOf(neighbour.runs.listFlowExecutions({}))).toBe("ok");
      expect(await outcomeOf(neighbour.client.claimTaskExecutions(claimOf("nobody")))).toBe("ok");
    }
    expect(await outcomeOf(create(neighbour, quick, 1))).toBe("ok");
    // Its turn came before all of the others' were over.
    expect(done).toBeLessThan(6);
    expect(new Set(await Promise.all(creates))).toEqual(new Set(["INPUT_MISMATCH"]));
  });
});

function claimOf(executor: string) {
  return { executors: [executor], maxTaskExecutions: 1, workerId: "w", requestId: randomUUID() };
}
