import { describe, expect, test } from "vitest";
import { flowStatus, type TaskCounts } from "../../src/flow-execution/flow-status.ts";

describe("the status of a run of three tasks", () => {
  const cases: [string, Partial<TaskCounts>, "started" | "not started", string][] = [
    ["no task has a record", {}, "not started", "queued"],
    ["tasks wait", { queued: 3 }, "not started", "queued"],
    ["one runs", { queued: 2, running: 1 }, "started", "running"],
    ["one completed and the others have no record", { completed: 1 }, "started", "running"],
    ["one failed while another runs", { failed: 1, running: 1 }, "started", "running"],
    ["one failed and nothing is open", { completed: 1, failed: 1 }, "started", "failed"],
    ["a task waits again after all had started", { completed: 2, queued: 1 }, "started", "running"],
    ["all completed", { completed: 3 }, "started", "completed"],
    ["one was cancelled", { completed: 2, cancelled: 1 }, "started", "cancelled"],
    ["one is stale", { completed: 2, stale: 1 }, "started", "stale"],
  ];
  for (const [name, counts, started, want] of cases) {
    test(`is ${want} when ${name}`, () => {
      expect(flowStatus(state(counts, started === "started"))).toBe(want);
    });
  }

  test("is cancelled once someone cancelled it, and deleted before all else", () => {
    const done = state({ completed: 3 }, true);
    expect(flowStatus({ ...done, cancelTime: new Date() })).toBe("cancelled");
    expect(flowStatus({ ...done, cancelTime: new Date(), deleteTime: new Date() })).toBe("deleted");
  });

  function state(counts: Partial<TaskCounts>, started: boolean) {
    return {
      counts: { queued: 0, running: 0, completed: 0, failed: 0, cancelled: 0, stale: 0, ...counts },
      totalTasks: 3,
      startTime: started ? new Date(0) : null,
      cancelTime: null,
      deleteTime: null,
    };
  }
});
