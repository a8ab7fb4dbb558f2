import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type TaskLease, TaskLeaseSchema } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { fromMs } from "../flow/duration.ts";
import type { TaskLease as TaskLeaseRow } from "./task-lease.entity.ts";

/** Converts a worker's hold on a task. */
export function toLeaseMessage(lease: TaskLeaseRow): TaskLease {
  return create(TaskLeaseSchema, {
    workerId: lease.workerId,
    expireTime: timestampFromDate(lease.expireTime),
    heartbeatTime: timestampFromDate(lease.heartbeatTime),
    cancelRequested: lease.cancelRequested,
    length: fromMs(lease.lengthMs),
    ...(lease.progress && { progress: JSON.parse(lease.progress) }),
  });
}
