import { randomUUID } from "node:crypto";
import { create, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { anyUnpack, ValueSchema } from "@bufbuild/protobuf/wkt";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { ConflictSchema } from "../../gen/taskledger/v1/error_details_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import {
  type ReportTaskExecutionsResponse_Result,
  ReportTaskExecutionsResponse_ResultSchema,
  HeartbeatTaskExecutionsResponse_State as State,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import { nameIn, outcomeOf } from "../client.ts";
import { asSuperuser } from "../database.ts";
import { type Fleet, jsonOf } from "./fleet.ts";
import { openNeighbours } from "./neighbours.ts";
import type { RunCheck } from "./run-check.ts";

describe("reports", () => {
  let fleet: Fleet;
  let neighbour: Fleet;
  let check: RunCheck;
  let sweep: () => Promise<void>;
  let close: () => Promise<void>;
  beforeAll(async () => {
    ({ fleet, neighbour, check, sweep, close } = await openNeighbours());
  });
  afterAll(() => close());

  const completed = { case: "completed", value: {} } as const;
  const failed = { case: "failed", value: { error: { type: "Boom", message: "no" } } } as const;

  /** Returns what became of a report in one word. */
  function wordOf({ result }: ReportTaskExecutionsResponse_Result): string {
    if (result.case === "accepted") return nameIn(Outcome, result.value.outcome)!;
    const info = result.value!.details.map((any) => anyUnpack(any, ErrorInfoSchema)).find(Boolean);
    return info!.reason.replace("ERROR_REASON_", "");
  }

  test("of good and bad ones in one call are each answered in their place", async () => {
    const run = await fleet.start("\n      tasks: [{name: mixed, for_each: '{{input}}'}]", [
      ...Array(30).keys(),
    ]);
    const held = await fleet.claim(["mixed"], 30);
    const reports = Array.from({ length: 100 }, (_, place) => {
      const { id, token } = held[place % 30]!;
      switch (place % 10) {
        case 1:
          return { id, token, result: { case: undefined } as never };
        case 2:
          return { id: "no id", token, result: completed };
        case 3:
          return { id: randomUUID(), token, result: completed };
        case 4:
          return { id, token: token + 1_000_000n, result: completed };
        case 5:
          return { id, token: -1n, result: completed };
        case 6: {
          const value = { error: { message: "later" }, retryAfter: { seconds: 86_401n, nanos: 0 } };
          return { id, token, result: { case: "failed", value } as const };
        }
        case 7:
          return { id, token, result: { case: "failed", value: {} } as const };
        case 8:
          return { id, token, result: failed };
        default:
          return { id, token, result: completed };
      }
    });
    const { results } = await fleet.client.reportTaskExecutions({ reports });
    const refused = "VALIDATION_FAILED";
    const want = [
      "first",
      refused,
      refused,
      "LEASE_LOST",
      "LEASE_LOST",
      refused,
      refused,
      refused,
      "first",
      "first",
    ];
    const seen = new Set<string>();
    expect(results.map(wordOf)).toEqual(
      reports.map(({ id }, place) => {
        const word = want[place % 10]!;
        if (word !== "first") return word;
        const isFirst = !seen.has(id);
        seen.add(id);
        return isFirst ? "UPDATED" : "UNCHANGED";
      }),
    );
    const statuses = (await run.tasks()).map((task) => task.split(" ")[1]);
    expect(statuses.filter((status) => status === "COMPLETED")).toHaveLength(6);
    expect(statuses.filter((status) => status === "FAILED")).toHaveLength(3);
    for (const task of held) await fleet.complete(task);
  });

  test("of none and of 101 are refused", async () => {
    const report = { id: randomUUID(), token: 1n, result: completed };
    expect(await outcomeOf(fleet.client.reportTaskExecutions({ reports: [] }))).toBe("VALIDATION_FAILED");
    expect(await outcomeOf(fleet.client.reportTaskExecutions({ reports: Array(101).fill(report) }))).toBe(
      "VALIDATION_FAILED",
    );
  });

  // Worker, network, service: the answer is lost on the way. The worker asks the very same again.
  test("with a claim that are repeated are answered as the first time, the claimed tasks included", async () => {
    await fleet.start(`
      tasks:
      - {name: one, executor: chain}
      - {name: two, executor: chain, depends_on: [one]}
      - {name: three, executor: chain, depends_on: [one]}`);
    const one = await fleet.claimOne("chain");
    const request = {
      reports: [{ id: one.id, token: one.token, result: completed }],
      claim: { executors: ["chain"], maxTaskExecutions: 1, workerId: "w", requestId: randomUUID() },
    };
    const answers = [];
    for (let time = 0; time < 3; time++) answers.push(await fleet.client.reportTaskExecutions(request));
    expect(answers.map(({ results }) => wordOf(results[0]!))).toEqual(["UPDATED", "UNCHANGED", "UNCHANGED"]);
    const [first] = answers[0]!.claimed;
    for (const { claimed } of answers) {
      expect(claimed.map(({ taskExecution, token }) => [taskExecution!.id, token])).toEqual([
        [first!.taskExecution!.id, first!.token],
      ]);
    }
    expect(await fleet.claim(["chain"], 10)).toHaveLength(1);
  });

  test("never give a task again under the request id of the claim that it is reported for", async () => {
    const run = await fleet.start("\n      tasks: [{name: again, for_each: '{{input}}'}]", [1, 2]);
    const requestId = randomUUID();
    const [held] = await fleet.claim(["again"], 1, requestId);
    const { claimed } = await fleet.client.reportTaskExecutions({
      reports: [{ id: held!.id, token: held!.token, result: completed }],
      claim: { executors: ["again"], maxTaskExecutions: 5, workerId: "w", requestId },
    });
    expect(claimed.map(({ taskExecution }) => taskExecution!.iteration)).toEqual([1]);
    await fleet.complete({ id: claimed[0]!.taskExecution!.id, token: claimed[0]!.token });
    expect(await run.status()).toBe("COMPLETED");
  });

  test("under another's token and under an invented one are answered alike, to the byte", async () => {
    const run = await fleet.start("\n      tasks: [{name: mine}]");
    await neighbour.start("\n      tasks: [{name: theirs}]");
    const mine = await fleet.claimOne("mine");
    const [theirs] = await neighbour.claim(["theirs"]);
    const ids: [string, bigint][] = [
      [theirs!.id, theirs!.token],
      [randomUUID(), theirs!.token],
      [mine.id, mine.token + 1n],
      [mine.id, 2n ** 63n - 1n],
    ];
    for (const result of [completed, failed, { case: "cancelled", value: {} } as const]) {
      const answers: string[] = [];
      for (const [id, token] of ids) {
        const { results } = await fleet.client.reportTaskExecutions(
          { reports: [{ id, token, result }] },
          { headers: { "x-request-id": "the-same-for-all" } },
        );
        expect(wordOf(results[0]!)).toBe("LEASE_LOST");
        answers.push(
          Buffer.from(toBinary(ReportTaskExecutionsResponse_ResultSchema, results[0]!)).toString("hex"),
        );
      }
      expect(new Set(answers).size).toBe(1);
    }
    const { results } = await fleet.client.heartbeatTaskExecutions({
      heartbeats: ids.map(([id, token]) => ({ id, token })),
    });
    expect(results).toEqual(ids.map(() => expect.objectContaining({ state: State.LOST })));
    expect(results.every(({ remaining }) => remaining === undefined)).toBe(true);
    expect(await neighbour.complete(theirs!)).toBe("UPDATED");
    expect(await fleet.complete(mine)).toBe("UPDATED");
    expect(await run.status()).toBe("COMPLETED");
  });

  test("that come too late are refused with the record as it is now", async () => {
    const run = await fleet.start("\n      tasks: [{name: late}]");
    const held = await fleet.claimOne("late");
    await check.hurry(run.id);
    await sweep();
    const { results } = await fleet.client.reportTaskExecutions({
      reports: [{ id: held.id, token: held.token, result: completed }],
    });
    const status = results[0]!.result.value as { details: Parameters<typeof anyUnpack>[0][] };
    const conflict = status.details.map((any) => anyUnpack(any, ConflictSchema)).find(Boolean);
    expect(conflict).toMatchObject({ current: { id: held.id, status: 4 } });
  });

  test("that say otherwise than the one before are refused, and change nothing", async () => {
    const run = await fleet.start("\n      tasks: [{name: once}]");
    const held = await fleet.claimOne("once");
    await fleet.complete(held, "first");
    const before = await run.get("once");
    expect(await fleet.complete(held, "second")).toBe("LEASE_LOST");
    expect(await fleet.fail(held, "Boom")).toBe("LEASE_LOST");
    expect(await fleet.report(held, { case: "cancelled", value: {} })).toBe("LEASE_LOST");
    expect(await run.get("once")).toEqual(before);
    const { results } = await fleet.client.heartbeatTaskExecutions({
      heartbeats: [{ id: held.id, token: held.token }],
    });
    expect(results[0]!.state).toBe(State.LOST);
  });

  describe("of a failure", () => {
    const policy = "retry: {max_attempts: 3, initial_backoff: 10s, non_retryable: [BadInput]}";
    const waitOf = async (runId: string) => {
      const [row] = await asSuperuser<{ seconds: number }>(
        fleet.database.superuserUrl,
        `select extract(epoch from available_time - create_time)::float8 as seconds
         from task_execution where flow_execution_id = $1 and status = 'queued'`,
        [runId],
      );
      return row?.seconds;
    };

    test("have another attempt wait for its backoff, and only then be claimed", async () => {
      const run = await fleet.start(`\n      tasks: [{name: wait, ${policy}}]`);
      await fleet.fail(await fleet.claimOne("wait"), "Boom");
      expect(await waitOf(run.id)).toBeGreaterThan(4.9);
      expect(await waitOf(run.id)).toBeLessThan(10.1);
      expect(await fleet.claim(["wait"])).toEqual([]);
      await check.hurry(run.id);
      expect(await fleet.claimOne("wait")).toMatchObject({ attempt: 2 });
    });

    test("that ask for a longer wait get it", async () => {
      const run = await fleet.start(`\n      tasks: [{name: longer, ${policy}}]`);
      const value = { error: { message: "busy" }, retryAfter: { seconds: 3600n, nanos: 0 } };
      await fleet.report(await fleet.claimOne("longer"), { case: "failed", value });
      expect(await waitOf(run.id)).toBeGreaterThan(3599);
    });

    test.each([
      ["of a type after which no retry helps", { error: { type: "BadInput", message: "" } }],
      ["that the worker calls final", { error: { type: "Boom", message: "" }, retryable: false }],
    ])("%s have no other attempt", async (_what, value) => {
      const run = await fleet.start(`\n      tasks: [{name: final, ${policy}}]`);
      await fleet.report(await fleet.claimOne("final"), { case: "failed", value });
      expect(await run.tasks()).toEqual(["final/0 FAILED"]);
      expect(await run.status()).toBe("FAILED");
    });

    test("keep what the attempt before was asked and why it failed", async () => {
      const run = await fleet.start(
        "\n      tasks: [{name: kept, input: {x: '{{input}}'}, retry: {max_attempts: 2, initial_backoff: 0s}}]",
        7,
      );
      const first = await fleet.claimOne("kept");
      await fleet.fail(first, "Boom");
      const before = await run.get("kept", 0);
      expect(before.error).toMatchObject({ type: "Boom", message: "failed" });
      const second = await fleet.claimOne("kept");
      expect(second.input).toEqual({ x: 7 });
      await fleet.complete(second, "done");
      expect(await run.get("kept", 0)).toEqual(before);
      const { events } = await fleet.tasks.listTaskExecutionEvents({ id: second.id });
      expect(events[0]!.causedById).toBe(first.id);
    });
  });

  describe("of an output that cannot be stored", () => {
    const deep = (depth: number): JsonValue => JSON.parse(`${"[".repeat(depth)}1${"]".repeat(depth)}`);
    const json = (value: JsonValue) => fromJson(ValueSchema, value);
    test.each([
      ["too large", json("x".repeat(1_048_576)), /1048576/],
      ["too deep", json(deep(31)), /31 levels/],
      ["of too many parts", json(Array(10_001).fill(0)), /10000|10,000/],
      ["with U+0000", json("a\0b"), /U\+0000/],
      [
        "that is no number",
        create(ValueSchema, { kind: { case: "numberValue", value: Number.NaN } }),
        /finite|number/,
      ],
      ["that is nothing at all", create(ValueSchema), /./],
    ])("the task fails and says why: %s", async (_what, output, message) => {
      const run = await fleet.start("\n      tasks: [{name: bad}]");
      expect(await fleet.report(await fleet.claimOne("bad"), { case: "completed", value: { output } })).toBe(
        "UPDATED",
      );
      const { error } = await run.get("bad");
      expect(error?.type).toBe("InvalidOutput");
      expect(error?.message).toMatch(message);
      expect(await run.status()).toBe("FAILED");
    });

    test("is a failure like others: it is retried", async () => {
      const run = await fleet.start(
        "\n      tasks: [{name: bad, retry: {max_attempts: 2, initial_backoff: 0s}}]",
      );
      const output = json(deep(31));
      await fleet.report(await fleet.claimOne("bad"), { case: "completed", value: { output } });
      await fleet.complete(await fleet.claimOne("bad"), "good");
      expect(jsonOf((await run.get("bad", 1)).output)).toBe("good");
      expect(await run.status()).toBe("COMPLETED");
    });
  });

  test("of a run that was cancelled are taken, and nothing comes after them", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: held, retry: {max_attempts: 3, initial_backoff: 0s}}
      - {name: failing, retry: {max_attempts: 3, initial_backoff: 0s}}
      - {name: waiting}
      - {name: after, depends_on: [held]}`);
    const [held, failing] = [await fleet.claimOne("held"), await fleet.claimOne("failing")];
    await fleet.runs.cancelFlowExecution({ id: run.id });
    expect(await run.tasks()).toEqual(["failing/0 RUNNING", "held/0 RUNNING", "waiting/0 CANCELLED"]);
    expect(await fleet.claim(["waiting"])).toEqual([]);
    const { results } = await fleet.client.heartbeatTaskExecutions({
      heartbeats: [held, failing].map(({ id, token }) => ({ id, token })),
    });
    expect(results.map(({ state }) => state)).toEqual([State.CANCEL_REQUESTED, State.CANCEL_REQUESTED]);
    expect(await fleet.complete(held, "done all the same")).toBe("UPDATED");
    expect(await fleet.fail(failing, "Boom")).toBe("UPDATED");
    expect(await run.tasks()).toEqual(["failing/0 FAILED", "held/0 COMPLETED", "waiting/0 CANCELLED"]);
    expect(await run.status()).toBe("CANCELLED");
  });

  test("do not run what comes after a task that was deleted, until it is undeleted", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: hidden}
      - {name: other}
      - {name: both, input: ["{{hidden.output}}", "{{other.output}}"]}`);
    await fleet.complete(await fleet.claimOne("hidden"), "h");
    const { id } = await run.get("hidden");
    await fleet.tasks.deleteTaskExecution({ id });
    await fleet.complete(await fleet.claimOne("other"), "o");
    expect(await fleet.claim(["both"])).toEqual([]);
    expect(await run.status()).toBe("CANCELLED");
    await fleet.tasks.undeleteTaskExecution({ id });
    expect((await fleet.claimOne("both")).input).toEqual(["h", "o"]);
  });

  test("of a summary count each record by task and status, in one statement", async () => {
    const run = await fleet.start(
      `
      tasks:
      - {name: each, for_each: "{{input}}", retry: {max_attempts: 2, initial_backoff: 0s}}
      - {name: never, depends_on: [each]}`,
      [1, 2, 3],
    );
    const [one, two] = await fleet.claim(["each"], 2);
    await fleet.complete(one!);
    await fleet.fail(two!, "Boom");
    const query = vi.spyOn(pg.Client.prototype, "query");
    const { tasks, total, flowExecution } = await fleet.runs.getFlowExecutionSummary({ id: run.id });
    const counting = query.mock.calls.filter(([sql]) =>
      JSON.stringify(sql ?? "").includes("from task_execution"),
    );
    query.mockRestore();
    expect(counting).toHaveLength(1);
    expect(flowExecution!.id).toBe(run.id);
    const none = { queued: 0, running: 0, completed: 0, failed: 0, cancelled: 0, stale: 0, deleted: 0 };
    expect(tasks).toMatchObject([
      { taskName: "each", counts: { ...none, completed: 1, failed: 1, queued: 2 } },
      { taskName: "never", counts: none },
    ]);
    expect(total).toMatchObject({ ...none, completed: 1, failed: 1, queued: 2 });
    expect(await outcomeOf(neighbour.runs.getFlowExecutionSummary({ id: run.id }))).toBe("NOT_FOUND");
  });
});
