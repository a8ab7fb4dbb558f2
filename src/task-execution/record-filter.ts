import { TaskExecution_Status as PbStatus } from "../../gen/taskledger/v1/task_execution_pb.ts";
import type { ListTaskExecutionsRequest } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { RecordFilter } from "./read-path.ts";
import { fromPbStatus, toDate } from "./task-execution.message.ts";

/** Converts the filter of a list from the wire, in one form for requests that ask for the same. */
export function recordFilterOf(request: ListTaskExecutionsRequest): RecordFilter {
  return {
    flowExecutionId: request.flowExecutionId.toLowerCase() || undefined,
    flowId: request.flowId.toLowerCase() || undefined,
    taskName: request.taskName || undefined,
    taskExecutionIdx: request.taskExecutionIdx,
    statuses: request.statuses.map(fromPbStatus).sort(),
    tag: request.tag || undefined,
    minCreateTime: toDate(request.minCreateTime),
    maxCreateTime: toDate(request.maxCreateTime),
    showDeleted: request.showDeleted || request.statuses.includes(PbStatus.DELETED),
  };
}
