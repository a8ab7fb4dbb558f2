import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { timestampFromMs, ValueSchema } from "@bufbuild/protobuf/wkt";
import { stringify } from "yaml";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  type CreateTaskExecutionRequest,
  CreateTaskExecutionRequestSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { RecordedTask, Recording } from "./recording.ts";

/** How the flow of a recording differs from the recording. */
export interface FlowOptions {
  readonly name: string;
  readonly description: string;
  /** Returns what the definition says of a task beside its name and its parents. */
  readonly toTask: (task: RecordedTask) => object;
}

/** Returns the flow that a recording is a run of, in YAML. */
export function definitionOf(
  { name: title, levels }: Recording,
  {
    name = titleOf(title),
    description = "Imported from a WfFormat recording.",
    toTask = ({ executor }) => ({ executor }),
  }: Partial<FlowOptions> = {},
): string {
  const tasks = levels.flat().map((task) => ({
    name: task.id,
    ...toTask(task),
    ...(task.parents.length > 0 && { depends_on: task.parents }),
  }));
  return stringify({ name, description, tasks }, { lineWidth: 0 });
}

/** Makes a text the name of a flow. */
export function titleOf(text: string): string {
  return text
    .replace(/\p{Cc}/gu, " ")
    .normalize("NFC")
    .slice(0, 200);
}

/** The steps of a task that went well, in order. */
const steps = [Status.QUEUED, Status.RUNNING, Status.COMPLETED] as const;

/**
 * Returns the reports that bring a task from its present status to completed, the present one first: it makes
 * sure that what is recorded is what we have.
 *
 * @param status the present status, or undefined if there is no record yet
 */
export function reportsOf(task: RecordedTask, flowExecutionId: string, status: Status | undefined) {
  const from = status === undefined ? 0 : Math.max(0, (steps as readonly Status[]).indexOf(status));
  return steps.slice(from).map((step) => reportOf(task, flowExecutionId, step));
}

function reportOf(
  task: RecordedTask,
  flowExecutionId: string,
  status: (typeof steps)[number],
): CreateTaskExecutionRequest {
  const request = create(CreateTaskExecutionRequestSchema, { flowExecutionId, taskName: task.id, status });
  request.input = toValue({ command: task.command ?? null, files: task.inputFiles });
  if (status !== Status.QUEUED) {
    request.startTime = timestampFromMs(task.startTime);
  }
  if (status === Status.COMPLETED) {
    request.output = toValue({ files: task.outputFiles, measured: task.facts });
    request.endTime = timestampFromMs(task.endTime);
  }
  return request;
}

function toValue(json: object) {
  return fromJson(ValueSchema, JSON.parse(JSON.stringify(json)) as JsonValue);
}
