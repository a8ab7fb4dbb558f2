import { inspect } from "node:util";
import { create, fromJson, type JsonValue, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, ValueSchema } from "@bufbuild/protobuf/wkt";
import { type TaskReport, TaskReportSchema } from "../../gen/taskledger/v1/worker_service_pb.ts";
import type { HeldTask } from "./held-task.ts";
import { type Executor, TaskFailure } from "./task.ts";

/** How large a report may be: what fits into one message of 4 MiB with room to spare. The service allows less. */
export const maxReportBytes = 3_000_000;

/** How many characters of an error are sent: the service keeps no more. */
const longestTrace = 65_536;

type Result = NonNullable<MessageInitShape<typeof TaskReportSchema>["result"]>;

/** Runs the executor of a task, and returns what there is to report; undefined for nothing. */
export async function execute(held: HeldTask, executor: Executor): Promise<TaskReport | undefined> {
  let output: unknown;
  try {
    const run = async () => executor(held.task);
    output = await Promise.race([run(), held.abandoned.then(() => Promise.reject(held.task.signal.reason))]);
  } catch (error) {
    return failureOf(held, error);
  }
  try {
    const text = JSON.stringify(output, refuseWhatJsonLoses);
    const value = text === undefined ? {} : { output: fromJson(ValueSchema, JSON.parse(text) as JsonValue) };
    const report = reportOf(held, { case: "completed", value });
    const bytes = toBinary(TaskReportSchema, report).length;
    if (bytes > maxReportBytes) throw new Error(`it has ${bytes} bytes; ${maxReportBytes} can be sent`);
    return report;
  } catch (error) {
    return invalidOutput(held, (error as Error).message);
  }
}

/** Returns the report of a task whose output cannot be handed in. */
export function invalidOutput(held: HeldTask, why: string): TaskReport {
  const error = { type: "InvalidOutput", message: `the output cannot be handed in: ${why}` };
  return reportOf(held, { case: "failed", value: { error } });
}

/** Returns the report that hands a task back. */
export function released(held: HeldTask): TaskReport {
  return reportOf(held, { case: "released", value: {} });
}

/** Dates become texts, and what is undefined is left out; but a number or a text does not silently become another. */
function refuseWhatJsonLoses(_: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) throw new Error(`${value} is no JSON number`);
  if (typeof value === "string" && !value.isWellFormed())
    throw new Error("a text is not well-formed Unicode");
  return value;
}

function failureOf(held: HeldTask, thrown: unknown): TaskReport | undefined {
  switch (held.interruption) {
    case "lease-lost":
      return undefined;
    case "cancel-requested":
      return reportOf(held, { case: "cancelled", value: {} });
    case "stopping":
      return released(held);
    case "timeout": {
      const { message } = held.task.signal.reason;
      return reportOf(held, { case: "failed", value: { error: { type: "Timeout", message } } });
    }
    default:
      return reportOf(held, { case: "failed", value: describe(thrown) });
  }
}

function describe(thrown: unknown): Extract<Result, { case: "failed" }>["value"] {
  if (!(thrown instanceof Error)) {
    // Anything can be thrown, and not everything can be made a text by itself.
    return { error: { type: typeof thrown, message: inspect(thrown).slice(0, longestTrace) } };
  }
  const { retryable, retryAfterMs } = thrown instanceof TaskFailure ? thrown : ({} as Partial<TaskFailure>);
  return {
    error: {
      type: textOf(thrown.name),
      message: textOf(thrown.message),
      traceback: textOf(thrown.stack),
    },
    ...(retryable !== undefined && { retryable }),
    ...(retryAfterMs !== undefined && { retryAfter: durationFromMs(retryAfterMs) }),
  };
}

/** Returns what should be a text, and need not be. */
function textOf(value: unknown): string {
  return (typeof value === "string" ? value : inspect(value)).slice(0, longestTrace);
}

function reportOf({ task: { id, token } }: HeldTask, result: Result): TaskReport {
  return create(TaskReportSchema, { id, token, result });
}
