import { useQuery } from "@connectrpc/connect-query";
import type { FlowExecution } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  FlowExecutionService,
  type TaskCounts,
  type TaskSummary,
} from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";

/** How many of the tasks of a run are done, and how they ended. */
export function RunProgress({ run }: { run: FlowExecution }) {
  const { data } = useQuery(
    FlowExecutionService.method.getFlowExecutionSummary,
    { id: run.id },
    {
      staleTime: Number.POSITIVE_INFINITY,
      // Asked for anew when something changed since, and never otherwise; twice a second at most.
      refetchInterval: ({ state }) =>
        (state.data?.flowExecution?.revision ?? 0n) < run.revision ? 500 : false,
    },
  );
  if (data === undefined) {
    return <span className="skeleton" style={{ width: "60%" }} />;
  }
  return <ProgressBar tasks={data.tasks} />;
}

/** A bar of the tasks that are done, and the same in numbers. */
export function ProgressBar({ tasks }: { tasks: readonly TaskSummary[] }) {
  const done = tasks.filter(({ counts }) => counts && isDone(counts)).length;
  const failed = tasks.filter(({ counts }) => counts && isDone(counts) && hasFailed(counts)).length;
  const part = (count: number) => `${tasks.length === 0 ? 0 : (100 * count) / tasks.length}%`;
  return (
    <span className="progress">
      <span className="progress-bar" aria-hidden="true">
        <span className="progress-good" style={{ width: part(done - failed) }} />
        <span className="progress-bad" style={{ width: part(failed) }} />
      </span>
      <span className="number">
        {done}/{tasks.length}
        <span className="visually-hidden"> tasks done{failed > 0 && `, ${failed} of them failed`}</span>
      </span>
    </span>
  );
}

function isDone({ queued, running, completed, failed, cancelled, stale }: TaskCounts): boolean {
  return queued + running === 0 && completed + failed + cancelled + stale > 0;
}

function hasFailed({ completed, failed }: TaskCounts): boolean {
  return failed > 0 && completed === 0;
}
