import { randomUUID } from "node:crypto";
import type { JsonValue } from "@bufbuild/protobuf";
import { fromJson, toBinary } from "@bufbuild/protobuf";
import { anyUnpack, ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { Status as ItemStatus } from "../../gen/google/rpc/status_pb.ts";
import { ConflictSchema, Conflict_Verdict as Verdict } from "../../gen/taskledger/v1/error_details_pb.ts";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskTagOperation_Action as Action,
  BatchGetTaskExecutionsResponseSchema,
  UpdateTaskTagsResponse_Result as TagResult,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { View } from "../../gen/taskledger/v1/view_pb.ts";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { callerFrom, clientOf, nameIn, outcomeOf } from "../client.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";

describe("TaskExecutionService", () => {
  let database: TestDatabase;
  let ours: Client<typeof TaskExecutionService>;
  let theirs: Client<typeof TaskExecutionService>;
  let organizationId: string;
  let flowExecutionId: string;
  let bystander: { id: string; etag: string };

  beforeAll(async () => {
    database = await openDatabase();
    organizationId = await givenOrganization(database.orm);
    const other = await givenOrganization(database.orm);
    ours = clientOf(TaskExecutionService, database, callerFrom(organizationId));
    theirs = clientOf(TaskExecutionService, database, callerFrom(other));
    const run = await givenRun(database.orm, other, ["task"]);
    const created = await theirs.createTaskExecution({
      ...keyIn(run.flowExecutionId),
      status: Status.RUNNING,
    });
    bystander = created.taskExecution!;
  });
  beforeEach(async () => {
    ({ flowExecutionId } = await givenRun(database.orm, organizationId, ["task", "extract"]));
  });
  afterAll(async () => {
    const { taskExecution } = await theirs.getTaskExecution({ lookup: { case: "id", value: bystander.id } });
    expect(taskExecution).toMatchObject({ status: Status.RUNNING, etag: bystander.etag });
    await database.close();
  });

  const keyIn = (id: string, taskExecutionIdx = 0) => ({
    flowExecutionId: id,
    taskName: "task",
    taskExecutionIdx,
  });
  const report = (status: Status, more: object = {}) =>
    ours.createTaskExecution({ ...keyIn(flowExecutionId), status, ...more });
  const get = async (id: string) =>
    (await ours.getTaskExecution({ lookup: { case: "id", value: id } })).taskExecution!;

  /** Brings a new record into a status and returns its id. */
  async function given(status: Status | "deleted", more: object = {}): Promise<string> {
    const { taskExecution } = await report(status === "deleted" ? Status.FAILED : status, more);
    if (status === "deleted") {
      await ours.deleteTaskExecution({ id: taskExecution!.id });
    }
    return taskExecution!.id;
  }

  describe("CreateTaskExecution", () => {
    const statuses = [Status.QUEUED, Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED];
    const outcomes: Record<number, string[]> = {
      // What a report of each status comes to, for a record that is in the status of the row.
      [Status.QUEUED]: ["UNCHANGED", "UPDATED", "ILLEGAL_TRANSITION", "ILLEGAL_TRANSITION", "UPDATED"],
      [Status.RUNNING]: ["ILLEGAL_TRANSITION", "UNCHANGED", "UPDATED", "UPDATED", "UPDATED"],
      [Status.COMPLETED]: [
        "ILLEGAL_TRANSITION",
        "ILLEGAL_TRANSITION",
        "UNCHANGED",
        "ILLEGAL_TRANSITION",
        "ILLEGAL_TRANSITION",
      ],
      [Status.FAILED]: [
        "ILLEGAL_TRANSITION",
        "ILLEGAL_TRANSITION",
        "ILLEGAL_TRANSITION",
        "UNCHANGED",
        "ILLEGAL_TRANSITION",
      ],
      [Status.CANCELLED]: [
        "ILLEGAL_TRANSITION",
        "ILLEGAL_TRANSITION",
        "ILLEGAL_TRANSITION",
        "ILLEGAL_TRANSITION",
        "UNCHANGED",
      ],
      [Status.DELETED]: Array(5).fill("RECORD_DELETED"),
    };
    for (const [from, wants] of Object.entries(outcomes)) {
      for (const [index, want] of wants.entries()) {
        const to = statuses[index]!;
        test(`a ${nameIn(Status, Number(from))} record reported as ${nameIn(Status, to)}: ${want}`, async () => {
          const id = await given(Number(from) === Status.DELETED ? "deleted" : (Number(from) as Status));
          const before = await get(id);
          const call = report(to);
          if (want === "UNCHANGED" || want === "UPDATED") {
            expect(nameIn(Outcome, (await call).outcome)).toBe(want);
          } else {
            const error = await call.then(() => undefined, ConnectError.from);
            expect(await outcomeOf(Promise.reject(error))).toBe(want);
            const [conflict] = error!.findDetails(ConflictSchema);
            expect(conflict).toMatchObject({ verdict: Verdict.STOP, current: { id, status: before.status } });
          }
          if (want !== "UPDATED") {
            expect(await get(id)).toEqual(before);
          }
        });
      }
    }

    test("creates a record with what was reported", async () => {
      const input = value({ a: [1, "x", null, true, { "": 0 }] });
      const { taskExecution, outcome } = await report(Status.QUEUED, { input });
      expect(outcome).toBe(Outcome.CREATED);
      expect(taskExecution).toMatchObject({
        organizationId,
        ...keyIn(flowExecutionId),
        status: Status.QUEUED,
        modifiedBy: "system",
        edited: false,
      });
      expect(taskExecution!.input).toBeUndefined();
      expect((await get(taskExecution!.id)).input).toEqual(input);
    });

    test("tells JSON null from nothing", async () => {
      const id = await given(Status.COMPLETED, { output: value(null) });
      expect((await get(id)).output?.kind).toEqual({ case: "nullValue", value: 0 });
      expect((await get(id)).input).toBeUndefined();
    });

    test("refuses the same status with other content and names the fields", async () => {
      const id = await given(Status.COMPLETED, { input: value(1), output: value({ a: 1 }) });
      const call = report(Status.COMPLETED, { input: value(1), output: value({ a: 2 }) });
      const error = ConnectError.from(await call.catch((reason) => reason));
      expect(await outcomeOf(Promise.reject(error))).toBe("CONTENT_DIFFERS");
      expect(error.findDetails(ConflictSchema)[0]!.differingFields).toEqual(["output"]);
      expect((await get(id)).output).toEqual(value({ a: 1 }));
    });

    test("takes the keys of an object in any order for the same", async () => {
      await given(Status.COMPLETED, { output: value({ a: 1, b: 2 }) });
      const { outcome } = await report(Status.COMPLETED, { output: value({ b: 2, a: 1 }) });
      expect(outcome).toBe(Outcome.UNCHANGED);
    });

    test("does not erase what a later report leaves out", async () => {
      const id = await given(Status.RUNNING, { input: value("asked") });
      await report(Status.COMPLETED, { output: value("given") });
      expect(await get(id)).toMatchObject({ input: value("asked"), output: value("given") });
    });

    test("cuts an error that is too long, and records it", async () => {
      const id = await given(Status.FAILED, {
        error: { message: "é".repeat(5000), type: "T\0\ud800", traceback: "" },
      });
      const { error } = await get(id);
      expect(Buffer.byteLength(error!.message)).toBeLessThanOrEqual(4096);
      expect(error!.message).toMatch(/^é+ … \[cut: 10000 bytes\]$/);
      expect(error!.type).toBe("T\ufffd\ufffd");
    });

    test("suggests the task whose name is near", async () => {
      const call = ours.createTaskExecution({ flowExecutionId, taskName: "extrct", status: Status.QUEUED });
      await expect(call).rejects.toThrow('did you mean "extract"?');
    });

    test("refuses a run of another organization like one that does not exist", async () => {
      const foreign = theirs.createTaskExecution({ ...keyIn(flowExecutionId), status: Status.QUEUED });
      const random = theirs.createTaskExecution({ ...keyIn(randomUUID()), status: Status.QUEUED });
      const [a, b] = await Promise.all(
        [foreign, random].map((call) => call.catch((reason) => reason.message)),
      );
      expect(a).toBe(b);
      expect(await outcomeOf(foreign)).toBe("NOT_FOUND");
    });

    const bad: [string, object][] = [
      ["no status", { status: 0 }],
      ["an unknown status", { status: 99 }],
      ["stale", { status: Status.STALE }],
      ["deleted", { status: Status.DELETED }],
      ["output while running", { status: Status.RUNNING, output: value(1) }],
      ["error when completed", { status: Status.COMPLETED, error: { message: "x" } }],
      ["a negative idx", { taskExecutionIdx: -1 }],
      ["an empty task name", { taskName: "" }],
      ["a task name of 201 characters", { taskName: "x".repeat(201) }],
      ["a run's id that is no UUID", { flowExecutionId: "17" }],
      ["an end before the start", { status: Status.FAILED, startTime: time(2), endTime: time(1) }],
      ["an end of what runs", { status: Status.RUNNING, endTime: time(2) }],
      ["a task name with U+0000", { taskName: "a\0" }],
    ];
    for (const [name, request] of bad) {
      test(`refuses ${name}`, async () => {
        expect(await outcomeOf(report(Status.QUEUED, request))).toMatch(/VALIDATION_FAILED/);
      });
    }

    const badPayloads: [string, JsonValue | object][] = [
      ["U+0000", value("a\0b")],
      ["31 levels", value(JSON.parse("[".repeat(31) + "]".repeat(31)))],
      ["10,001 values", value(Array(10_000).fill(0))],
      ["more than 1 MiB", value("x".repeat(1_048_575))],
      ["NaN", { kind: { case: "numberValue", value: Number.NaN } }],
      ["no kind", { kind: { case: undefined } }],
    ];
    for (const [name, input] of badPayloads) {
      test(`refuses a payload with ${name}`, async () => {
        expect(await outcomeOf(report(Status.QUEUED, { input }))).toBe("PAYLOAD_REFUSED");
      });
    }

    test("takes a payload at the limits", async () => {
      const deep = value(JSON.parse("[".repeat(30) + "]".repeat(30)));
      const wide = value(Array(9_999).fill(0));
      const long = value("x".repeat(1_048_574));
      for (const [idx, input] of [deep, wide, long].entries()) {
        const { taskExecution } = await report(Status.QUEUED, { input, taskExecutionIdx: idx });
        expect((await get(taskExecution!.id)).input).toEqual(input);
      }
    });
  });

  test("BatchCreateTaskExecutions decides each item by itself, in order", async () => {
    const item = (status: Status, more: object = {}) => ({ ...keyIn(flowExecutionId), status, ...more });
    const { results } = await ours.batchCreateTaskExecutions({
      requests: [
        item(Status.QUEUED),
        item(Status.QUEUED, { taskName: "nope" }),
        item(Status.RUNNING, { output: value(1) }),
        item(Status.RUNNING),
        item(Status.QUEUED),
        item(Status.COMPLETED, { output: value("a\0") }),
        item(Status.COMPLETED, { flowExecutionId: randomUUID() }),
        item(Status.COMPLETED, { output: value(1) }),
      ],
    });
    const seen = results.map(({ result }) =>
      result.case === "response" ? nameIn(Outcome, result.value.outcome) : result.value!.code,
    );
    expect(seen).toEqual(["CREATED", 3, 3, "UPDATED", 9, 3, 5, "UPDATED"]);
  });

  describe("BatchGetTaskExecutions", () => {
    const byId = (id: string) => ({ lookup: { case: "id" as const, value: id } });
    const byKey = (more: object = {}) => ({
      lookup: { case: "key" as const, value: { ...keyIn(flowExecutionId), ...more } },
    });
    const getAll = async (requests: Parameters<typeof ours.batchGetTaskExecutions>[0]["requests"]) =>
      (await ours.batchGetTaskExecutions({ requests: requests ?? [] })).results.map(({ result }) => result);

    test("answers each lookup as GetTaskExecution does, in order, however often it is asked", async () => {
      const first = await given(Status.QUEUED, { input: value({ a: 1 }) });
      const second = await given(Status.FAILED, { taskExecutionIdx: 1, error: { message: "bad" } });
      const deleted = await given("deleted", { taskExecutionIdx: 2 });
      await ours.updateTaskTags({ operations: [{ action: Action.ADD, id: second, tag: "k:v" }] });
      const records = await Promise.all([first, second, deleted].map(get));
      const results = await getAll([
        byId(second),
        byKey({ taskExecutionIdx: 2 }),
        byKey({ flowExecutionId: flowExecutionId.toUpperCase() }),
        byId(second.toUpperCase()),
        byKey({ taskExecutionIdx: 1 }),
        byId(first),
      ]);
      const order = [1, 2, 0, 1, 1, 0];
      expect(results).toEqual(
        order.map((index) => ({
          case: "response",
          value: expect.objectContaining({ taskExecution: records[index] }),
        })),
      );
      expect(records[1]).toMatchObject({ error: { message: "bad" }, tags: [{ tag: "k:v" }] });
    });

    test("tells by whom a record is held", async () => {
      const { flow } = await clientOf(FlowService, database, callerFrom(organizationId)).createFlow({
        definition: `name: ${randomUUID()}\ntasks: [{name: t, executor: batch-get}]`,
      });
      const request = { flowId: flow!.id, requestId: randomUUID(), dispatch: Dispatch.MANAGED };
      await clientOf(FlowExecutionService, database, callerFrom(organizationId)).createFlowExecution(request);
      const claim = { executors: ["batch-get"], maxTaskExecutions: 1, workerId: "w", requestId: "1" };
      const workers = clientOf(WorkerService, database, callerFrom(organizationId));
      const { claimed } = await workers.claimTaskExecutions(claim);
      const held = await get(claimed[0]!.taskExecution!.id);
      expect(held.lease?.workerId).toBe("w");
      expect(await getAll([byId(held.id)])).toMatchObject([{ value: { taskExecution: held } }]);
    });

    test("answers what is not there, or another organization's, or no lookup at all, in its place", async () => {
      const id = await given(Status.QUEUED);
      const results = await getAll([
        byId(randomUUID()),
        byId(bystander.id),
        byKey({ taskName: "nope" }),
        byId("17"),
        byKey({ taskName: "a\0" }),
        {},
        byId(id),
      ]);
      expect(
        results.map((result) => (result.case === "error" ? Code[result.value.code] : result.case)),
      ).toEqual([
        "NotFound",
        "NotFound",
        "NotFound",
        "InvalidArgument",
        "InvalidArgument",
        "InvalidArgument",
        "response",
      ]);
      const [missing, foreign] = results.map((result) => result.value);
      expect(JSON.stringify(foreign)).toBe(JSON.stringify(missing));
    });

    test("takes 1 to 1000 lookups", async () => {
      const id = await given(Status.QUEUED);
      expect(await outcomeOf(getAll([]))).toBe("VALIDATION_FAILED");
      expect(await outcomeOf(getAll(Array(1001).fill(byId(id))))).toBe("VALIDATION_FAILED");
      const results = await getAll(Array(1000).fill(byId(id)));
      expect(results.filter((result) => result.case === "response")).toHaveLength(1000);
    });

    test("returns no more payloads than fit an answer, and says of the rest to ask for fewer", async () => {
      const input = value("x".repeat(1_000_000));
      const large = await Promise.all(
        [0, 1, 2, 3].map((taskExecutionIdx) => given(Status.QUEUED, { taskExecutionIdx, input })),
      );
      const small = await given(Status.QUEUED, { taskExecutionIdx: 4 });
      const results = await getAll([...large.map(byId), byId(small), byId(large[0]!)]);
      expect(results.map((result) => result.case)).toEqual([
        "response",
        "response",
        "response",
        "error",
        "response",
        "error",
      ]);
      const error = results[3]!.value as ItemStatus;
      expect([Code[error.code], error.message]).toEqual([
        "ResourceExhausted",
        expect.stringContaining("ask for fewer"),
      ]);
      const [info] = error.details.flatMap((detail) => anyUnpack(detail, ErrorInfoSchema) ?? []);
      expect(info?.reason).toBe("ERROR_REASON_MESSAGE_TOO_LARGE");
      expect(await getAll([byId(large[3]!)])).toMatchObject([{ case: "response" }]);
    });

    test("counts payloads as they are sent: many small values are more there than as text", async () => {
      const input = value(Array(9_000).fill(0));
      const requests = [];
      for (let taskExecutionIdx = 0; taskExecutionIdx < 50; taskExecutionIdx++) {
        requests.push({ ...keyIn(flowExecutionId, taskExecutionIdx), status: Status.QUEUED, input });
      }
      for (let from = 0; from < 50; from += 10) {
        await ours.batchCreateTaskExecutions({ requests: requests.slice(from, from + 10) });
      }
      const answer = await ours.batchGetTaskExecutions({
        requests: requests.map(({ taskExecutionIdx }) => byKey({ taskExecutionIdx })),
      });
      const bytes = toBinary(BatchGetTaskExecutionsResponseSchema, answer).length;
      expect(bytes).toBeGreaterThan(3_500_000);
      expect(bytes).toBeLessThan(4_250_000);
      expect(answer.results.filter(({ result }) => result.case === "error").length).toBeGreaterThan(5);
    });
  });

  describe("ListTaskExecutions", () => {
    test("returns every record once, newest first, while others are written", async () => {
      for (let idx = 0; idx < 25; idx++) {
        await report(Status.QUEUED, { taskExecutionIdx: idx });
      }
      const seen: number[] = [];
      let pageToken = "";
      do {
        const page = await ours.listTaskExecutions({ flowExecutionId, pageSize: 4, pageToken });
        seen.push(...page.taskExecutions.map(({ taskExecutionIdx }) => taskExecutionIdx));
        pageToken = page.nextPageToken;
        await report(Status.QUEUED, { taskExecutionIdx: 1000 + seen.length });
      } while (pageToken !== "");
      expect(seen).toEqual(Array.from({ length: 25 }, (_, index) => 24 - index));
    });

    test("filters", async () => {
      const first = await given(Status.QUEUED);
      const second = await given(Status.FAILED, { taskExecutionIdx: 1 });
      const deleted = await given("deleted", { taskExecutionIdx: 2 });
      await ours.updateTaskTags({ operations: [{ action: Action.ADD, id: second, tag: "k:v" }] });
      const list = async (filter: object) =>
        (await ours.listTaskExecutions({ flowExecutionId, ...filter })).taskExecutions.map(({ id }) => id);
      expect(await list({})).toEqual([second, first]);
      expect(await list({ showDeleted: true })).toEqual([deleted, second, first]);
      expect(await list({ statuses: [Status.DELETED] })).toEqual([deleted]);
      expect(await list({ statuses: [Status.FAILED, Status.QUEUED] })).toEqual([second, first]);
      expect(await list({ statuses: [Status.QUEUED, Status.FAILED], pageSize: 1 })).toEqual([second]);
      expect(await list({ tag: "k:v" })).toEqual([second]);
      expect(await list({ taskExecutionIdx: 0 })).toEqual([first]);
      expect(await list({ taskName: "other" })).toEqual([]);
      expect(await list({ flowId: randomUUID() })).toEqual([]);
      expect(await list({ maxCreateTime: time(1) })).toEqual([]);
    });

    test("returns payloads only in the full view, and no more of them than fit a page", async () => {
      const input = value("x".repeat(1_000_000));
      for (let idx = 0; idx < 5; idx++) {
        await report(Status.QUEUED, { taskExecutionIdx: idx, input });
      }
      const basic = await ours.listTaskExecutions({ flowExecutionId });
      expect(basic.taskExecutions.map((record) => record.input)).toEqual(Array(5).fill(undefined));
      const full = await ours.listTaskExecutions({ flowExecutionId, view: View.FULL });
      expect(full.taskExecutions.map((record) => record.input)).toEqual(Array(3).fill(input));
      const rest = await ours.listTaskExecutions({
        flowExecutionId,
        view: View.FULL,
        pageToken: full.nextPageToken,
      });
      expect([rest.taskExecutions.length, rest.nextPageToken]).toEqual([2, ""]);
    });

    test("refuses a token of another filter or organization", async () => {
      await given(Status.QUEUED);
      await given(Status.QUEUED, { taskExecutionIdx: 1 });
      const { nextPageToken: pageToken } = await ours.listTaskExecutions({ flowExecutionId, pageSize: 1 });
      expect(await outcomeOf(ours.listTaskExecutions({ flowExecutionId, pageToken }))).toBe("ok");
      expect(await outcomeOf(ours.listTaskExecutions({ pageToken }))).toBe("PAGE_TOKEN_INVALID");
      expect(await outcomeOf(theirs.listTaskExecutions({ flowExecutionId, pageToken }))).toBe(
        "PAGE_TOKEN_INVALID",
      );
    });
  });

  describe("UpdateTaskExecution", () => {
    test("amends an output once, whoever comes first", async () => {
      const id = await given(Status.COMPLETED, { output: value("a") });
      const { etag } = await get(id);
      const amend = (text: string) =>
        ours.updateTaskExecution({ id, etag, updateMask: { paths: ["output"] }, output: value(text) });
      expect((await amend("b")).taskExecution).toMatchObject({ edited: true, status: Status.COMPLETED });
      expect(await outcomeOf(amend("b"))).toBe("ok");
      expect(await outcomeOf(amend("c"))).toBe("ETAG_OUT_OF_DATE");
      expect((await get(id)).output).toEqual(value("b"));
    });

    const cases: [Status, string, string][] = [
      [Status.QUEUED, "input", "ok"],
      [Status.QUEUED, "output", "NOT_AMENDABLE"],
      [Status.RUNNING, "input", "NOT_AMENDABLE"],
      [Status.COMPLETED, "output", "ok"],
      [Status.COMPLETED, "error", "NOT_AMENDABLE"],
      [Status.FAILED, "error", "ok"],
      [Status.CANCELLED, "input", "NOT_AMENDABLE"],
      [Status.QUEUED, "status", "VALIDATION_FAILED"],
      [Status.QUEUED, "modified_by", "VALIDATION_FAILED"],
    ];
    for (const [status, path, want] of cases) {
      test(`${path} of a ${nameIn(Status, status)} record: ${want}`, async () => {
        const id = await given(status);
        const { etag } = await get(id);
        const content = { input: value(1), output: value(1), error: { message: "m" } };
        expect(
          await outcomeOf(ours.updateTaskExecution({ id, etag, updateMask: { paths: [path] }, ...content })),
        ).toBe(want);
      });
    }

    test("refuses an empty mask and a missing etag", async () => {
      const id = await given(Status.QUEUED);
      expect(await outcomeOf(ours.updateTaskExecution({ id, etag: "1", updateMask: { paths: [] } }))).toBe(
        "VALIDATION_FAILED",
      );
      expect(await outcomeOf(ours.updateTaskExecution({ id, etag: "1" }))).toBe("VALIDATION_FAILED");
      expect(await outcomeOf(ours.updateTaskExecution({ id, updateMask: { paths: ["input"] } }))).toBe(
        "VALIDATION_FAILED",
      );
    });
  });

  test("cancelling, deleting and undeleting twice is the same as once", async () => {
    const id = await given(Status.RUNNING);
    for (const [call, want] of [
      ["cancelTaskExecution", Status.CANCELLED],
      ["deleteTaskExecution", Status.DELETED],
      ["undeleteTaskExecution", Status.CANCELLED],
    ] as const) {
      const once = await ours[call]({ id });
      const twice = await ours[call]({ id });
      expect(once.taskExecution!.status).toBe(want);
      expect(twice.taskExecution).toEqual(once.taskExecution);
    }
    const { events } = await ours.listTaskExecutionEvents({ id });
    expect(events.map(({ type }) => type)).toEqual([1, 5, 7, 8]);
  });

  test("UpdateTaskTags applies the operations in order", async () => {
    const id = await given(Status.QUEUED);
    const operation = (action: Action, tag: string, of = id) => ({ action, id: of, tag });
    const { results } = await ours.updateTaskTags({
      operations: [
        operation(Action.ADD, "b"),
        operation(Action.ADD, "a"),
        operation(Action.ADD, "a"),
        operation(Action.REMOVE, "b"),
        operation(Action.REMOVE, "b"),
        operation(Action.ADD, "a", bystander.id),
        operation(Action.ADD, "a", randomUUID()),
      ],
    });
    const { ADDED, ALREADY_EXISTS, NOT_FOUND, REMOVED } = TagResult;
    expect(results).toEqual([ADDED, ADDED, ALREADY_EXISTS, REMOVED, NOT_FOUND, NOT_FOUND, NOT_FOUND]);
    expect((await get(id)).tags.map(({ tag }) => tag)).toEqual(["a"]);
  });

  test("the 101st tag is refused, and the others of the request with it", async () => {
    const id = await given(Status.QUEUED);
    const add = (n: number) => ({ action: Action.ADD, id, tag: `t${n}` });
    await ours.updateTaskTags({ operations: Array.from({ length: 99 }, (_, n) => add(n)) });
    expect(await outcomeOf(ours.updateTaskTags({ operations: [add(99), add(100)] }))).toBe("LIMIT_REACHED");
    expect((await get(id)).tags).toHaveLength(99);
  });

  test("events say who did what, and why", async () => {
    const id = await given(Status.QUEUED);
    await ours.cancelTaskExecution({ id, reason: "not needed" });
    const { events } = await ours.listTaskExecutionEvents({ id });
    expect(events).toMatchObject([
      { revision: 1n, toStatus: Status.QUEUED, actor: { kind: "worker", keyName: "test" } },
      { revision: 2n, fromStatus: Status.QUEUED, toStatus: Status.CANCELLED, reason: "not needed" },
    ]);
  });

  test("another organization's record does not exist", async () => {
    const { id, etag } = bystander;
    const calls = [
      () => ours.getTaskExecution({ lookup: { case: "id", value: id } }),
      () => ours.cancelTaskExecution({ id }),
      () => ours.deleteTaskExecution({ id }),
      () => ours.undeleteTaskExecution({ id }),
      () => ours.listTaskExecutionEvents({ id }),
      () => ours.updateTaskExecution({ id, etag, updateMask: { paths: ["input"] } }),
    ];
    for (const call of calls) {
      expect(await outcomeOf(call())).toBe("NOT_FOUND");
    }
  });
});

function value(json: JsonValue) {
  return fromJson(ValueSchema, json);
}

function time(seconds: number) {
  return { seconds: BigInt(seconds), nanos: 0 };
}
