import { useQuery } from "@connectrpc/connect-query";
import { useEffect, useMemo } from "react";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../../gen/taskledger/v1/task_execution_service_pb.ts";
import { toProblem } from "../rpc/problem.ts";
import { useRunTasks } from "../run/run-tasks.ts";

/** A task execution with its payloads, and all others of the same task and run, newest first. */
export interface WatchedTask {
  readonly task: TaskExecution | undefined;
  readonly attempts: readonly TaskExecution[];
  readonly error: unknown;
}

/** Watches a task execution: its payloads are asked for anew each time it changes. */
export function useTask(id: string): WatchedTask {
  const { data, error, refetch } = useQuery(TaskExecutionService.method.getTaskExecution, {
    lookup: { case: "id", value: id },
  });
  const task = data?.taskExecution;
  const watched = useRunTasks(task?.flowExecutionId ?? "", task?.taskName);
  const attempts = useMemo(
    () => [...watched.items].sort((left, right) => right.taskExecutionIdx - left.taskExecutionIdx),
    [watched.items],
  );
  const etag = attempts.find((each) => each.id === id)?.etag;
  useEffect(() => {
    if (etag !== undefined) {
      void refetch();
    }
  }, [etag, refetch]);
  return {
    task,
    attempts,
    error: error !== null && !toProblem(error).isOutage ? error : watched.error,
  };
}
