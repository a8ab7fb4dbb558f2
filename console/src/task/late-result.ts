import { useQuery } from "@connectrpc/connect-query";
import { TaskExecutionEvent_Type as EventType } from "../../../gen/taskledger/v1/task_execution_event_pb.ts";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../../gen/taskledger/v1/task_execution_service_pb.ts";
import { toStatus } from "../status/status.ts";

/** Returns whether the worker of a failed task handed in a result too late, which nobody has adopted. */
export function useHasLateResult({ id, status }: TaskExecution): boolean {
  const { data } = useQuery(
    TaskExecutionService.method.listTaskExecutionEvents,
    { id, pageSize: 1000 },
    { enabled: toStatus(status) === "failed" },
  );
  const types = data?.events.map(({ type }) => type) ?? [];
  return types.includes(EventType.LATE_RESULT) && !types.includes(EventType.ADOPT);
}
