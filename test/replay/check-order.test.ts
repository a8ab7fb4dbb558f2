import { expect, test } from "vitest";
import { TaskExecutionEvent_Type as Type } from "../../gen/taskledger/v1/task_execution_event_pb.ts";
import { checkOrder } from "../../src/replay/check-order.ts";

const parents = new Map([
  ["a", []],
  ["b", ["a"]],
]);

type Step = [taskName: string, type: keyof typeof Type, idx?: number];

const eventsOf = (steps: Step[]) =>
  steps.map(([taskName, type, taskExecutionIdx = 0], index) => ({
    taskName,
    taskExecutionIdx,
    revision: BigInt(index + 1),
    type: Type[type],
  }));

const a: Step[] = [
  ["a", "CREATE"],
  ["a", "START"],
  ["a", "COMPLETE"],
];
const b: Step[] = [
  ["b", "CREATE"],
  ["b", "START"],
  ["b", "COMPLETE"],
];

test("a run in order is well, with attempts that failed as well", () => {
  expect(checkOrder(parents, eventsOf([...a, ...b]))).toEqual([]);
  const failed: Step[] = [
    ["b", "CREATE"],
    ["b", "START"],
    ["b", "FAIL"],
    ["b", "CREATE", 1],
    ["b", "START", 1],
    ["b", "COMPLETE", 1],
  ];
  expect(checkOrder(parents, eventsOf([...a, ...failed]))).toEqual([]);
});

const bad: [string, Step[], string[]][] = [
  [
    "a task that started before its parent completed",
    [...a.slice(0, 2), ...b, a[2]!],
    ["b/0 became ready at 3, before a completed", "b/0 started at 4, before a completed"],
  ],
  ["a task that completed twice", [...a, ...b, ["b", "COMPLETE", 1]], ["b completed 2 times"]],
  ["a task that did not complete", a, ["b completed 0 times"]],
  ["a task that is none", [...a, ...b, ["c", "CREATE"]], ["c is no task of the flow"]],
];
for (const [name, steps, want] of bad) {
  test(`${name} is found`, () => {
    expect(checkOrder(parents, eventsOf(steps))).toEqual(want);
  });
}
