import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { FlowExecutionSchema } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { mergeRuns } from "../src/runs/merge-runs.ts";

const run = (id: string, revision: number) => create(FlowExecutionSchema, { id, revision: BigInt(revision) });
const seen = (runs: readonly { id: string; revision: bigint }[]) =>
  runs.map(({ id, revision }) => `${id}@${revision}`);

test("new runs come first, changed ones in their place, and removed ones go", () => {
  const recent = [
    { id: "5", run: run("5", 1) },
    { id: "3", run: run("3", 8) },
    { id: "2", run: undefined },
  ];
  expect(seen(mergeRuns([run("4", 1), run("3", 2), run("2", 1)], recent, true))).toEqual([
    "5@1",
    "4@1",
    "3@8",
  ]);
});

test("a page that was read after the change is not set back by it", () => {
  expect(seen(mergeRuns([run("3", 9)], [{ id: "3", run: run("3", 8) }], true))).toEqual(["3@9"]);
});

test("a changed run that is older than the last loaded page waits for its page", () => {
  expect(seen(mergeRuns([run("4", 1)], [{ id: "2", run: run("2", 3) }], false))).toEqual(["4@1"]);
});
