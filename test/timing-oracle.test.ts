import { randomUUID } from "node:crypto";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../gen/taskledger/v1/task_execution_service_pb.ts";
import { callerFrom, clientOf, outcomeOf } from "./client.ts";
import { givenOrganization, openDatabase, type TestDatabase } from "./database.ts";
import { givenRun } from "./runs.ts";

/** How many calls of each kind are timed, after as many tenths of it to warm up. */
const calls = 1000;

/**
 * How often the whole is measured at most. A difference that is there shows each time; one that a busy machine
 * makes up does not: by chance alone the test of the distributions fails once in a hundred times.
 */
const attempts = 3;

describe("how long an answer takes", () => {
  let database: TestDatabase;
  let ours: string;
  let theirRuns: string[];
  let theirRecords: string[];
  let ourRecord: string;

  beforeAll(async () => {
    database = await openDatabase();
    ours = await givenOrganization(database.orm);
    const theirs = await givenOrganization(database.orm);
    const client = clientOf(TaskExecutionService, database, callerFrom(theirs));
    const given = Array.from({ length: 20 }, async () => {
      const { flowExecutionId } = await givenRun(database.orm, theirs, ["task"]);
      const { taskExecution } = await client.createTaskExecution(reportOf(flowExecutionId));
      return { flowExecutionId, id: taskExecution!.id };
    });
    const records = await Promise.all(given);
    theirRuns = records.map(({ flowExecutionId }) => flowExecutionId);
    theirRecords = records.map(({ id }) => id);
    // Our own rows, so that the tables and their indexes hold both organizations.
    const { flowExecutionId } = await givenRun(database.orm, ours, ["task"]);
    const us = clientOf(TaskExecutionService, database, callerFrom(ours));
    const input = fromJson(ValueSchema, "large ".repeat(20_000));
    ourRecord = (await us.createTaskExecution({ ...reportOf(flowExecutionId), input })).taskExecution!.id;
  });
  afterAll(() => database?.close());

  const reportOf = (flowExecutionId: string) => ({
    flowExecutionId,
    taskName: "task",
    status: Status.RUNNING,
  });

  test.each<[string, "runs" | "records"]>([
    ["GetTaskExecution", "records"],
    ["CreateTaskExecution", "runs"],
  ])(
    "to %s does not tell another organization's id from one that was never given out",
    async (method, kind) => {
      const client = clientOf(TaskExecutionService, database, callerFrom(ours));
      const foreignIds = kind === "runs" ? theirRuns : theirRecords;
      const call = (id: string) =>
        kind === "runs"
          ? client.createTaskExecution(reportOf(id))
          : client.getTaskExecution({ lookup: { case: "id", value: id } });
      let told: Comparison | undefined;
      for (let attempt = 1; attempt <= attempts; attempt++) {
        told = await measure(foreignIds, async (id) => expect(await outcomeOf(call(id))).toBe("NOT_FOUND"));
        if (isSame(told)) {
          return;
        }
      }
      expect.fail(`${method}: ${JSON.stringify(told)} after ${attempts} attempts`);
    },
    30_000,
  );

  // Our own record is large, and answered with more work: if that is not found, nothing is.
  test("to GetTaskExecution does tell one's own id, as the figures show", async () => {
    const client = clientOf(TaskExecutionService, database, callerFrom(ours));
    const told = await measure([ourRecord], (id) =>
      client.getTaskExecution({ lookup: { case: "id", value: id } }).then(
        () => expect(id).toBe(ourRecord),
        () => expect(id).not.toBe(ourRecord),
      ),
    );
    expect(isSame(told)).toBe(false);
  });

  test("would be found to differ by a fifth of a millisecond, and not to differ by chance", () => {
    // The same kind of samples, with an oracle in them: skewed, with outliers, and one shifted.
    const sample = (shift: number) =>
      Array.from({ length: calls }, () => 1 + shift - 0.2 * Math.log(1 - Math.random() * 0.9999));
    expect(isSame(compare(sample(0.2), sample(0)))).toBe(false);
    expect(isSame(compare(sample(0), sample(0)))).toBe(true);
  });
});

/** How two samples of times, in milliseconds, differ. */
interface Comparison {
  readonly foreignP50: number;
  readonly randomP50: number;
  /** The probability that samples of the same distribution differ as much as these. */
  readonly p: number;
}

function isSame({ foreignP50, randomP50, p }: Comparison): boolean {
  return p > 0.01 || Math.abs(foreignP50 / randomP50 - 1) < 0.05;
}

/** Times calls with foreign and random ids, in pairs next to each other in time, and in either order at random. */
async function measure(
  foreignIds: readonly string[],
  call: (id: string) => Promise<void>,
): Promise<Comparison> {
  const foreign: number[] = [];
  const random: number[] = [];
  for (let index = -calls / 10; index < calls; index++) {
    const pair = [
      { id: foreignIds[Math.floor(Math.random() * foreignIds.length)]!, times: foreign },
      { id: randomUUID(), times: random },
    ];
    for (const { id, times } of Math.random() < 0.5 ? pair : pair.reverse()) {
      const start = performance.now();
      await call(id);
      const took = performance.now() - start;
      if (index >= 0) {
        times.push(took);
      }
    }
  }
  return compare(foreign, random);
}

/** The two-sample Kolmogorov-Smirnov test, with the asymptotic distribution. */
function compare(foreign: number[], random: number[]): Comparison {
  const [a, b] = [foreign.toSorted((x, y) => x - y), random.toSorted((x, y) => x - y)];
  let [i, j, distance] = [0, 0, 0];
  while (i < a.length && j < b.length) {
    const at = Math.min(a[i]!, b[j]!);
    while (i < a.length && a[i]! <= at) i++;
    while (j < b.length && b[j]! <= at) j++;
    distance = Math.max(distance, Math.abs(i / a.length - j / b.length));
  }
  const size = Math.sqrt((a.length * b.length) / (a.length + b.length));
  const lambda = (size + 0.12 + 0.11 / size) * distance;
  let p = 0;
  for (let k = 1; k <= 100; k++) {
    p += 2 * (-1) ** (k - 1) * Math.exp(-2 * k * k * lambda * lambda);
  }
  const median = (sorted: number[]) => sorted[Math.floor(sorted.length / 2)]!;
  // For a distance near 0 the series does not converge; the probability is 1.
  return { foreignP50: median(a), randomP50: median(b), p: lambda < 0.2 ? 1 : Math.min(1, Math.max(0, p)) };
}
