import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  TaskExecutionEvent_Type as PbType,
  type TaskExecutionEvent,
  TaskExecutionEventSchema,
} from "../../gen/taskledger/v1/task_execution_event_pb.ts";
import type { EventType } from "./changes.ts";
import type { Event } from "./event.entity.ts";
import { toPbStatus } from "./task-execution.message.ts";

const pbTypes: Readonly<Record<EventType, PbType>> = {
  create: PbType.CREATE,
  start: PbType.START,
  complete: PbType.COMPLETE,
  fail: PbType.FAIL,
  cancel: PbType.CANCEL,
  outdate: PbType.OUTDATE,
  delete: PbType.DELETE,
  undelete: PbType.UNDELETE,
  amend: PbType.AMEND,
  tag: PbType.TAG,
  request_cancel: PbType.REQUEST_CANCEL,
  late_result: PbType.LATE_RESULT,
  adopt: PbType.ADOPT,
  // Of runs only, which this is never asked for.
  re_execute: PbType.UNSPECIFIED,
};

/** Converts what happened for the wire. */
export function toPbType(type: EventType): PbType {
  return pbTypes[type];
}

/** Converts an entry of the event log for the wire. */
export function toEventMessage(event: Event): TaskExecutionEvent {
  return create(TaskExecutionEventSchema, {
    revision: event.revision,
    type: pbTypes[event.type],
    ...(event.fromStatus && { fromStatus: toPbStatus(event.fromStatus) }),
    toStatus: toPbStatus(event.toStatus),
    actor: { subject: event.actorSubject, kind: event.actorKind, keyName: event.actorKeyName },
    reason: event.reason,
    requestId: event.requestId,
    createTime: timestampFromDate(event.createTime),
    changedFields: JSON.parse(event.changedFields),
    causedById: event.causeId ?? "",
  });
}
