import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type FlowExecution as FlowExecutionMessage,
  FlowExecutionSchema,
  FlowExecution_Dispatch as PbDispatch,
  FlowExecution_Status as PbStatus,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  type CreateFlowExecutionRequest,
  type GetFlowExecutionSummaryResponse,
  GetFlowExecutionSummaryResponseSchema,
  type ListFlowExecutionsRequest,
  ReExecuteFlowExecutionRequest_Scope as PbScope,
  type ReExecuteFlowExecutionRequest,
} from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { fromPayloadText, toPayloadText } from "../payload/payload.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import type { NewRun } from "./create-flow-execution.ts";
import type { FlowExecution } from "./flow-execution.entity.ts";
import type { RunFilter } from "./list-flow-executions.ts";
import type { ReExecute, Scope } from "./re-execute.ts";
import type { Summary } from "./summary.ts";

const pbStatuses: Readonly<Record<Status, PbStatus>> = {
  queued: PbStatus.QUEUED,
  running: PbStatus.RUNNING,
  completed: PbStatus.COMPLETED,
  failed: PbStatus.FAILED,
  cancelled: PbStatus.CANCELLED,
  stale: PbStatus.STALE,
  deleted: PbStatus.DELETED,
};

const statuses = Object.keys(pbStatuses) as Status[];

/** Converts a status from the wire. It was validated: unknown numbers do not come here. */
export function fromPbStatus(pb: PbStatus): Status {
  return statuses.find((status) => pbStatuses[status] === pb)!;
}

/** What of a run goes on the wire. */
export type RunView = Omit<FlowExecution, "input" | "requestId" | "toleratedTasks" | "cancelTime"> & {
  readonly input?: FlowExecution["input"];
};

/** Converts a run, with its input if that is loaded. */
export function toFlowExecutionMessage(run: RunView): FlowExecutionMessage {
  return create(FlowExecutionSchema, {
    id: run.id,
    organizationId: run.organizationId,
    flowId: run.flowId,
    flowVersion: run.flowVersion,
    runNumber: run.runNumber,
    status: pbStatuses[run.status],
    dispatch: run.dispatch === "managed" ? PbDispatch.MANAGED : PbDispatch.EXTERNAL,
    priority: run.priority,
    labels: JSON.parse(run.labels),
    modifiedBy: run.modifiedBy,
    createTime: timestampFromDate(run.createTime),
    updateTime: timestampFromDate(run.updateTime),
    etag: String(run.etag),
    revision: run.revision,
    progress: {
      total: run.totalTasks,
      queued: run.queuedTasks,
      running: run.runningTasks,
      completed: run.completedTasks,
      failed: run.failedTasks,
      cancelled: run.cancelledTasks,
      stale: run.staleTasks,
    },
    ...(run.input && { input: fromPayloadText(run.input) }),
    ...(run.startTime && { startTime: timestampFromDate(run.startTime) }),
    ...(run.endTime && { endTime: timestampFromDate(run.endTime) }),
    ...(run.deleteTime && { deleteTime: timestampFromDate(run.deleteTime) }),
  });
}

/**
 * Converts a request for a run.
 *
 * @throws LedgerError PAYLOAD_REFUSED if the input breaks a limit
 */
export function fromCreateRequest(request: CreateFlowExecutionRequest): NewRun {
  return {
    flowId: request.flowId.toLowerCase(),
    flowVersion: request.flowVersion || undefined,
    input: request.input && toPayloadText(request.input, "input"),
    labels: toLabelsText(request.labels),
    requestId: request.requestId,
    dispatch: request.dispatch === PbDispatch.MANAGED ? "managed" : "external",
    priority: request.priority,
  };
}

const scopes: ReadonlyMap<PbScope, Scope> = new Map([
  [PbScope.ALL, "all"],
  [PbScope.STALE, "stale"],
  [PbScope.FAILED, "failed"],
  [PbScope.FROM_TASK, "from_task"],
]);

/** Converts a request to run tasks once more. Its scope was validated. */
export function fromReExecuteRequest(request: ReExecuteFlowExecutionRequest): ReExecute {
  const { id, scope, taskName, flowVersion, etag, reason, requestId, validateOnly } = request;
  return {
    id: id.toLowerCase(),
    scope: scopes.get(scope)!,
    taskName,
    flowVersion,
    etag,
    reason,
    requestId,
    validateOnly,
  };
}

/** Converts the counts of a run. */
export function toSummaryMessage({ run, tasks, total }: Summary): GetFlowExecutionSummaryResponse {
  return create(GetFlowExecutionSummaryResponseSchema, {
    flowExecution: toFlowExecutionMessage(run),
    tasks: tasks.map(({ taskName, counts }) => ({ taskName, counts })),
    total,
  });
}

/** Converts the filter of a list. Its statuses were validated: unknown numbers do not come here. */
export function fromListRequest(request: ListFlowExecutionsRequest): RunFilter {
  const showDeleted = request.showDeleted || request.statuses.includes(PbStatus.DELETED);
  const wanted = (status: Status) =>
    status === "deleted" ? showDeleted : request.statuses.includes(pbStatuses[status]);
  return {
    flowId: request.flowId.toLowerCase() || undefined,
    statuses: request.statuses.length > 0 ? statuses.filter(wanted) : undefined,
    showDeleted,
  };
}

/** Converts labels to JSON text. Two sets of labels are the same if and only if their texts are. */
function toLabelsText(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))));
}
