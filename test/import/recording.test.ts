import { describe, expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { parseDefinition } from "../../src/flow/definition.ts";
import { parseTime, RecordingError, readRecording } from "../../src/import/recording.ts";
import { definitionOf, reportsOf } from "../../src/import/reports.ts";
import { ran, recording, task } from "./recordings.ts";

describe("a recording", () => {
  const diamond = recording(
    [task("d", ["b", "c"]), task("b", ["a"]), task("c", ["a"]), task("a.1 é"), task("a")],
    [ran("a", 2), ran("b", 3), ran("c", 1.5), ran("d"), ran("a.1 é")],
  );

  test("has its tasks in levels, each after all its parents", () => {
    const { levels } = readRecording(diamond);
    expect(levels.map((level) => level.map(({ id }) => id))).toEqual([["a.1 é", "a"], ["b", "c"], ["d"]]);
  });

  test("has a task start when the last of its parents ended", () => {
    const { levels } = readRecording(diamond);
    const begin = Date.parse("2026-01-01T00:00:00Z");
    expect(levels.flat().map(({ startTime, endTime }) => [startTime - begin, endTime - begin])).toEqual([
      [0, 1000],
      [0, 2000],
      [2000, 5000],
      [2000, 3500],
      [5000, 6000],
    ]);
  });

  test("gives a definition without problems", () => {
    const parsed = parseDefinition(definitionOf(readRecording(diamond)));
    expect(parsed.problems).toEqual([]);
    expect(parsed.definition?.tasks.at(-1)).toMatchObject({
      name: "d",
      executor: "D",
      dependsOn: ["b", "c"],
    });
  });

  const reports: [string, Status | undefined, Status[]][] = [
    ["no record", undefined, [Status.QUEUED, Status.RUNNING, Status.COMPLETED]],
    ["a queued record", Status.QUEUED, [Status.QUEUED, Status.RUNNING, Status.COMPLETED]],
    ["a running record", Status.RUNNING, [Status.RUNNING, Status.COMPLETED]],
    ["a completed record", Status.COMPLETED, [Status.COMPLETED]],
  ];
  for (const [name, status, want] of reports) {
    test(`goes on from ${name}`, () => {
      const [first] = readRecording(diamond).levels.flat();
      expect(reportsOf(first!, "run", status).map((request) => request.status)).toEqual(want);
    });
  }

  const bad: [string, string, string][] = [
    ["is not JSON", "{", "not JSON"],
    ["is of another version", recording([task("a")], [ran("a")], { schemaVersion: "1.4" }), "schemaVersion"],
    ["names a parent that is no task", recording([task("a", ["x"])], [ran("a")]), "parent x"],
    ["has an id twice", recording([task("a"), task("a")], [ran("a")]), "two tasks"],
    ["has a circle", recording([task("a", ["b"]), task("b", ["a"])], [ran("a"), ran("b")]), "circle"],
    ["lacks what a task took", recording([task("a")], []), "not executed"],
  ];
  for (const [name, text, want] of bad) {
    test(`that ${name} is refused`, () => {
      expect(() => readRecording(text)).toThrow(RecordingError);
      expect(() => readRecording(text)).toThrow(want);
    });
  }

  test("says when it was made in any of the known forms", () => {
    const times = ["05-10-23T16:23:32Z", "20200407T225745+0000", "2023-03-29T10:02:36-10:00"];
    expect(times.map((time) => new Date(parseTime(time)).toISOString())).toEqual([
      "2023-05-10T16:23:32.000Z",
      "2020-04-07T22:57:45.000Z",
      "2023-03-29T20:02:36.000Z",
    ]);
    expect(() => parseTime("yesterday")).toThrow(RecordingError);
  });
});
