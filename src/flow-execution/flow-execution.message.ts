import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type FlowExecution as FlowExecutionMessage,
  FlowExecutionSchema,
  FlowExecution_Dispatch as PbDispatch,
  FlowExecution_Status as PbStatus,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import type {
  CreateFlowExecutionRequest,
  ListFlowExecutionsRequest,
} from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { fromPayloadText, toPayloadText } from "../payload/payload.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import type { NewRun } from "./create-flow-execution.ts";
import type { FlowExecution } from "./flow-execution.entity.ts";
import type { RunFilter } from "./list-flow-executions.ts";

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

/** Converts a run, with its input if that is loaded. */
export function toFlowExecutionMessage(run: FlowExecution): FlowExecutionMessage {
  return create(FlowExecutionSchema, {
    id: run.id,
    organizationId: run.organizationId,
    flowId: run.flowId,
    flowVersion: run.flowVersion,
    runNumber: run.runNumber,
    status: pbStatuses[run.status],
    dispatch: PbDispatch.EXTERNAL,
    labels: JSON.parse(run.labels),
    modifiedBy: run.modifiedBy,
    createTime: timestampFromDate(run.createTime),
    updateTime: timestampFromDate(run.updateTime),
    etag: String(run.etag),
    revision: run.revision,
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
    dispatch: "external",
  };
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
