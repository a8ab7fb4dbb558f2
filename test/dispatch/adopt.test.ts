import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { outcomeOf } from "../client.ts";
import { type Fleet, jsonOf } from "./fleet.ts";
import { openNeighbours } from "./neighbours.ts";
import type { RunCheck } from "./run-check.ts";

describe("a late result", () => {
  let fleet: Fleet;
  let neighbour: Fleet;
  let check: RunCheck;
  let sweep: () => Promise<void>;
  let close: () => Promise<void>;
  beforeAll(async () => {
    ({ fleet, neighbour, check, sweep, close } = await openNeighbours());
  });
  afterAll(() => close());

  const adopt = ({ id }: { readonly id: string }) =>
    fleet.tasks.adoptLateResult({ id, reason: "it is right" });
  const expire = async (runId: string) => {
    await check.hurry(runId);
    await sweep();
  };

  test("of another organization does not exist", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}]");
    const lost = await fleet.claimOne("a");
    await expire(run.id);
    await fleet.complete(lost, "late");
    expect(await outcomeOf(neighbour.tasks.adoptLateResult({ id: lost.id }))).toBe("NOT_FOUND");
    await adopt(lost);
  });

  test("takes the place of the attempt that runs now, whose worker finds its lease lost", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}]");
    const lost = await fleet.claimOne("a");
    await expire(run.id);
    const now = await fleet.claimOne("a");
    expect(await fleet.complete(lost, "late")).toBe("LEASE_LOST");
    await adopt(lost);
    expect(jsonOf((await run.get("a", 2)).output)).toBe("late");
    expect(await fleet.complete(now, "new")).toBe("LEASE_LOST");
    expect(await run.tasks()).toEqual(["a/0 FAILED", "a/1 CANCELLED", "a/2 COMPLETED"]);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("takes the place of an attempt that failed for good, and the run goes on", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}, {name: b, input: '{{a.output}}'}]");
    const lost = await fleet.claimOne("a");
    await expire(run.id);
    await fleet.fail(await fleet.claimOne("a"), "Boom");
    expect(await run.status()).toBe("FAILED");
    await fleet.complete(lost, "late");
    await adopt(lost);
    expect((await fleet.claimOne("b")).input).toBe("late");
  });

  test("does not replace the output of the attempt that was reported before it", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}]");
    const held = await fleet.claimOne("a");
    await fleet.complete(held, "first");
    expect(await fleet.complete(held, "second")).toBe("LEASE_LOST");
    expect(await outcomeOf(adopt(held))).toBe("NOTHING_TO_ADOPT");
    expect(await run.tasks()).toEqual(["a/0 COMPLETED"]);
    expect(jsonOf((await run.get("a")).output)).toBe("first");
  });

  test("of a deleted record is adopted only when that is undeleted", async () => {
    const run = await fleet.start("\n      tasks: [{name: a, retry: {max_attempts: 1}}]");
    const lost = await fleet.claimOne("a");
    await fleet.tasks.deleteTaskExecution({ id: lost.id });
    await fleet.complete(lost, "late");
    expect(await outcomeOf(adopt(lost))).toBe("RECORD_DELETED");
    await fleet.tasks.undeleteTaskExecution({ id: lost.id });
    await expire(run.id);
    await adopt(lost);
    expect(await run.status()).toBe("COMPLETED");
  });

  test("that is a failure, or is not there, cannot be adopted", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}]");
    const lost = await fleet.claimOne("a");
    await expire(run.id);
    expect(await outcomeOf(adopt(lost))).toBe("NOTHING_TO_ADOPT");
    expect(await fleet.fail(lost, "Boom")).toBe("LEASE_LOST");
    expect(await outcomeOf(adopt(lost))).toBe("NOTHING_TO_ADOPT");
    await fleet.complete(await fleet.claimOne("a"));
    expect(await run.status()).toBe("COMPLETED");
  });

  test("of a cancelled run cannot be adopted", async () => {
    const run = await fleet.start("\n      tasks: [{name: a}]");
    const lost = await fleet.claimOne("a");
    await expire(run.id);
    await fleet.complete(lost, "late");
    await fleet.runs.cancelFlowExecution({ id: run.id });
    expect(await outcomeOf(adopt(lost))).toBe("FLOW_EXECUTION_CLOSED");
    expect(await run.tasks()).toEqual(["a/0 FAILED", "a/1 CANCELLED"]);
  });

  test("of one item of a loop stands in its place in the list", async () => {
    const run = await fleet.start(
      "\n      tasks: [{name: each, for_each: '{{input}}'}, {name: sum, input: '{{each.output}}'}]",
      ["x", "y", "z"],
    );
    const [x, y, z] = await fleet.claim(["each"], 10);
    await fleet.complete(x!, "X");
    await fleet.complete(z!, "Z");
    await expire(run.id);
    await fleet.complete(y!, "late Y");
    await adopt(y!);
    expect((await fleet.claimOne("sum")).input).toEqual(["X", "late Y", "Z"]);
  });

  test("that comes after a tolerated failure outdates what went on without it", async () => {
    const run = await fleet.start(`
      tasks:
      - {name: optional, on_failure: continue}
      - {name: after, depends_on: [optional]}`);
    const lost = await fleet.claimOne("optional");
    await expire(run.id);
    await fleet.fail(await fleet.claimOne("optional"), "Boom");
    await fleet.complete(await fleet.claimOne("after"), "without");
    expect(await run.status()).toBe("COMPLETED");
    await fleet.complete(lost, "late");
    await adopt(lost);
    expect(await run.tasks()).toEqual([
      "after/0 STALE",
      "optional/0 FAILED",
      "optional/1 FAILED",
      "optional/2 COMPLETED",
    ]);
    expect(await run.status()).toBe("STALE");
  });
});
