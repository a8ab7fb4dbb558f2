import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type TaskExecution,
  type TaskLease,
  TaskLeaseSchema,
} from "../../gen/taskledger/v1/task_execution_pb.ts";
import { fromMs } from "../flow/duration.ts";
import type { FoundRecord } from "./read-path.ts";
import { toTaskExecutionMessage } from "./task-execution.message.ts";
import type { TaskLease as TaskLeaseRow } from "./task-lease.entity.ts";

function toLeaseMessage(lease: TaskLeaseRow): TaskLease {
  return create(TaskLeaseSchema, {
    workerId: lease.workerId,
    expireTime: timestampFromDate(lease.expireTime),
    heartbeatTime: timestampFromDate(lease.heartbeatTime),
    cancelRequested: lease.cancelRequested,
    length: fromMs(lease.lengthMs),
    ...(lease.progress && { progress: JSON.parse(lease.progress) }),
  });
}

/** Converts a record for the wire, with those payloads that are loaded, and who holds it. */
export function toFoundMessage({ lease, ...record }: FoundRecord): TaskExecution {
  const message = toTaskExecutionMessage(record);
  if (lease !== null) message.lease = toLeaseMessage(lease);
  return message;
}
