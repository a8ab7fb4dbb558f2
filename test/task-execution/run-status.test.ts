import { describe, expect, test } from "vitest";
import { type Dispatch, flowStatus, type TaskCounts } from "../../src/task-execution/run-status.ts";

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

  const managed: [string, Partial<TaskCounts>, number, string][] = [
    ["a retry waits", { completed: 1, queued: 1 }, 0, "running"],
    ["one failed and the others never came to run", { completed: 1, failed: 1 }, 0, "failed"],
    ["the failure of one is tolerated and the others completed", { completed: 2, failed: 1 }, 1, "completed"],
    ["one was cancelled and the others never came to run", { cancelled: 1 }, 0, "cancelled"],
    ["one was deleted and the others completed", { completed: 2 }, 0, "cancelled"],
    ["one is stale and none open", { completed: 2, stale: 1 }, 0, "stale"],
    ["one is stale and what comes after it never ran", { completed: 1, stale: 1 }, 0, "stale"],
    ["one is stale and another was cancelled", { completed: 1, stale: 1, cancelled: 1 }, 0, "cancelled"],
    ["all completed", { completed: 3 }, 0, "completed"],
  ];
  for (const [name, counts, tolerated, want] of managed) {
    test(`that is managed is ${want} when ${name}`, () => {
      expect(flowStatus({ ...state(counts, true), dispatch: "managed", tolerated })).toBe(want);
    });
  }

  test("is cancelled once someone cancelled it, and deleted before all else", () => {
    const done = state({ completed: 3 }, true);
    expect(flowStatus({ ...done, cancelTime: new Date() })).toBe("cancelled");
    expect(flowStatus({ ...done, cancelTime: new Date(), deleteTime: new Date() })).toBe("deleted");
  });

  function state(counts: Partial<TaskCounts>, started: boolean) {
    return {
      dispatch: "external" as Dispatch,
      tolerated: 0,
      counts: { queued: 0, running: 0, completed: 0, failed: 0, cancelled: 0, stale: 0, ...counts },
      totalTasks: 3,
      startTime: started ? new Date(0) : null,
      cancelTime: null,
      deleteTime: null,
    };
  }
});
