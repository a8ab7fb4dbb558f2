import { describe, expect, test } from "vitest";
import {
  isOpen,
  type LifecycleEvent,
  lifecycleEvents,
  next,
  type Status,
  statuses,
} from "../../src/task-execution/lifecycle.ts";

// One row for each status, one column for each event, "-" where the event cannot happen.
const lifecycle = `
              start     complete   fail     cancel      outdate   delete    undelete
  queued      running   -          -        cancelled   -         deleted   -
  running     -         completed  failed   cancelled   -         deleted   -
  completed   -         -          -        -           stale     deleted   -
  failed      -         -          -        -           stale     deleted   -
  cancelled   -         -          -        -           -         deleted   -
  stale       -         -          -        -           -         deleted   -
  deleted     -         -          -        -           -         -         before
`;

describe("the lifecycle of a task execution", () => {
  const [header = [], ...rows] = lifecycle
    .trim()
    .split("\n")
    .map((row) => row.trim().split(/\s+/));

  test("has no other status or event", () => {
    expect(rows.map(([status]) => status)).toEqual([...statuses]);
    expect(header).toEqual(lifecycleEvents);
  });

  for (const [status, ...outcomes] of rows) {
    for (const [column, outcome] of outcomes.entries()) {
      test(`${status} + ${header[column]}: ${outcome}`, () => {
        const want = outcome === "-" ? undefined : outcome === "before" ? "failed" : outcome;
        expect(next(status as Status, header[column] as LifecycleEvent, "failed")).toBe(want);
      });
    }
  }

  test("is open until there is an outcome", () => {
    expect(statuses.filter(isOpen)).toEqual(["queued", "running"]);
  });
});
