import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import {
  TaskExecution_Status as PbStatus,
  type TaskExecution,
  TaskExecutionSchema,
  TaskTagSchema,
} from "../../gen/taskledger/v1/task_execution_pb.ts";
import type {
  CreateTaskExecutionRequest,
  GetTaskExecutionRequest,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { fromPayloadText, toPayloadText } from "../payload/payload.ts";
import { fromErrorText, toErrorText } from "../payload/task-error.ts";
import type { ChangeOutcome, PayloadField, Report, TaskRecord } from "./changes.ts";
import type { ReportStatus, Status } from "./lifecycle.ts";
import type { RecordKey } from "./read-path.ts";

const pbStatuses: Readonly<Record<Status, PbStatus>> = {
  queued: PbStatus.QUEUED,
  running: PbStatus.RUNNING,
  completed: PbStatus.COMPLETED,
  failed: PbStatus.FAILED,
  cancelled: PbStatus.CANCELLED,
  stale: PbStatus.STALE,
  deleted: PbStatus.DELETED,
};

const statuses = new Map(Object.entries(pbStatuses).map(([status, pb]) => [pb, status as Status]));

/** Converts a status for the wire. */
export function toPbStatus(status: Status): PbStatus {
  return pbStatuses[status];
}

/** Converts a status from the wire. It was validated: unknown numbers do not come here. */
export function fromPbStatus(pb: PbStatus): Status {
  return statuses.get(pb)!;
}

/** Converts what a change did for the wire. */
export function toPbOutcome(outcome: ChangeOutcome): Outcome {
  return { created: Outcome.CREATED, updated: Outcome.UPDATED, unchanged: Outcome.UNCHANGED }[outcome];
}

/** Converts a record for the wire, with those payloads that are loaded. */
export function toTaskExecutionMessage(record: TaskRecord): TaskExecution {
  const message = withoutPayloads(record);
  if (record.input) message.input = fromPayloadText(record.input);
  if (record.output) message.output = fromPayloadText(record.output);
  if (record.error) message.error = fromErrorText(record.error);
  return message;
}

/** Converts a record for the wire, as answers to writes have it. */
export function withoutPayloads(record: TaskRecord): TaskExecution {
  const message = create(TaskExecutionSchema);
  message.id = record.id;
  message.organizationId = record.organizationId;
  message.flowExecutionId = record.flowExecutionId;
  message.taskName = record.taskName;
  message.taskExecutionIdx = record.taskExecutionIdx;
  message.status = toPbStatus(record.status);
  message.modifiedBy = record.modifiedBy;
  message.createTime = timestampFromDate(record.createTime);
  message.updateTime = timestampFromDate(record.updateTime);
  message.etag = String(record.etag);
  message.edited = record.edited;
  message.attempt = record.attempt;
  message.interruptions = record.interruptions;
  message.tags = record.tags.map(({ tag, metadata }) =>
    create(TaskTagSchema, { tag, metadata: JSON.parse(metadata) }),
  );
  if (record.startTime) message.startTime = timestampFromDate(record.startTime);
  if (record.endTime) message.endTime = timestampFromDate(record.endTime);
  if (record.iteration !== null) message.iteration = record.iteration;
  if (record.status === "queued" && record.availableTime) {
    message.availableTime = timestampFromDate(record.availableTime);
  }
  if (record.deleteTime) message.deleteTime = timestampFromDate(record.deleteTime);
  return message;
}

/**
 * Converts a report from the wire.
 *
 * @throws LedgerError PAYLOAD_REFUSED if a payload breaks a limit
 */
export function fromCreateRequest(request: CreateTaskExecutionRequest): Report {
  const payloads: Partial<Record<PayloadField, string>> = {};
  if (request.input) payloads.input = toPayloadText(request.input, "input");
  if (request.output) payloads.output = toPayloadText(request.output, "output");
  if (request.error) payloads.error = toErrorText(request.error);
  return {
    type: "report",
    flowExecutionId: request.flowExecutionId.toLowerCase(),
    taskName: request.taskName,
    taskExecutionIdx: request.taskExecutionIdx,
    status: fromPbStatus(request.status) as ReportStatus,
    payloads,
    startTime: toDate(request.startTime),
    endTime: toDate(request.endTime),
  };
}

/** Converts what a record is looked up by from the wire. */
export function fromGetRequest({ lookup }: GetTaskExecutionRequest): { id: string } | RecordKey {
  if (lookup.case !== "key") {
    return { id: lookup.value ?? "" };
  }
  const { flowExecutionId, taskName, taskExecutionIdx } = lookup.value;
  return { flowExecutionId, taskName, taskExecutionIdx };
}

/** Converts a time from the wire, to the millisecond. */
export function toDate(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && timestampDate(timestamp);
}
