import { createHash } from "node:crypto";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { Flow } from "../../gen/taskledger/v1/flow_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import type { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { GrpcClient } from "./grpc-client.ts";
import { type RecordedTask, readRecording } from "./recording.ts";
import { definitionOf, reportsOf } from "./reports.ts";

/** How many tasks go into one batch: three reports each stay well under the 1000 of a call. */
const batchTasks = 100;

/** How many records are asked for at a time. */
const pageSize = 500;

/** What an import did. Each task was created, moved on or found unchanged; what was refused is said in words. */
export interface ImportResult {
  readonly flow: Flow;
  readonly flowExecutionId: string;
  readonly runNumber: number;
  readonly created: number;
  readonly movedOn: number;
  readonly unchanged: number;
  readonly refused: readonly string[];
}

/**
 * Records a run that happened elsewhere, as an engine would have: each task queued, running and completed, and
 * none before its parents.
 *
 * It may be broken off at any point and run again: it then goes on where it was. Run again after the end it
 * changes nothing.
 *
 * @param text the recording
 * @param onProgress is told after each batch how many tasks are done, of how many
 * @throws RecordingError, or Error with what the service says
 */
export async function importRecording(
  client: GrpcClient,
  text: string,
  onProgress: (done: number, tasks: number) => void,
): Promise<ImportResult> {
  const recording = readRecording(text);
  const definition = definitionOf(recording);
  const { flow } = await client.call(FlowService.method.createFlow, { definition });
  const { flowExecution } = await client.call(FlowExecutionService.method.createFlowExecution, {
    flowId: flow!.id,
    flowVersion: flow!.version,
    requestId: `import-${createHash("sha256").update(text).digest("hex")}`,
    dispatch: Dispatch.EXTERNAL,
    labels: { source: "WfFormat 1.5", executed_at: recording.executedAt },
  });
  const { id, runNumber } = flowExecution!;
  const known = await listStatuses(client, id);
  const counts = { created: 0, movedOn: 0, unchanged: 0 };
  const refused: string[] = [];
  const total = recording.levels.flat().length;
  let done = 0;
  for (const level of recording.levels) {
    for (let start = 0; start < level.length; start += batchTasks) {
      const tasks = level.slice(start, start + batchTasks);
      for (const { task, outcomes, errors } of await report(client, id, tasks, known)) {
        refused.push(...errors.map((error) => `${task.id}: ${error}`));
        if (outcomes.includes(Outcome.CREATED)) counts.created++;
        else if (outcomes.includes(Outcome.UPDATED)) counts.movedOn++;
        else if (errors.length === 0) counts.unchanged++;
      }
      done += tasks.length;
      onProgress(done, total);
    }
  }
  return { flow: flow!, flowExecutionId: id, runNumber, ...counts, refused };
}

/** Returns the status of each task that has a record. */
async function listStatuses(client: GrpcClient, flowExecutionId: string): Promise<Map<string, Status>> {
  const statuses = new Map<string, Status>();
  let pageToken = "";
  do {
    const page = await client.call(TaskExecutionService.method.listTaskExecutions, {
      flowExecutionId,
      taskExecutionIdx: 0,
      showDeleted: true,
      pageSize,
      pageToken,
    });
    for (const { taskName, status } of page.taskExecutions) {
      statuses.set(taskName, status);
    }
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return statuses;
}

/** Sends the reports of some tasks in one batch and returns what came of them, by task. */
async function report(
  client: GrpcClient,
  flowExecutionId: string,
  tasks: readonly RecordedTask[],
  known: ReadonlyMap<string, Status>,
): Promise<{ task: RecordedTask; outcomes: Outcome[]; errors: string[] }[]> {
  const reports = tasks.map((task) => reportsOf(task, flowExecutionId, known.get(task.id)));
  const { results } = await client.call(TaskExecutionService.method.batchCreateTaskExecutions, {
    requests: reports.flat(),
  });
  const left = results.values();
  return tasks.map((task, index) => {
    const ours = reports[index]!.map(() => left.next().value!.result);
    return {
      task,
      outcomes: ours.flatMap((result) => (result.case === "response" ? [result.value.outcome] : [])),
      errors: ours.flatMap((result) => (result.case === "error" ? [result.value.message] : [])),
    };
  });
}
