import { useQuery } from "@connectrpc/connect-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { FlowExecutionService } from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { useFlowNames } from "../flows/use-flow-names.ts";
import { Payload } from "../payload/payload.tsx";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { StaleNotes } from "../run/stale-note.tsx";
import { useTitle } from "../shell/title.ts";
import { toStatus } from "../status/status.ts";
import { StatusBadge } from "../status/status-badge.tsx";
import { TableSkeleton } from "../table/table-skeleton.tsx";
import { Attempts } from "./attempts.tsx";
import { ErrorPanel } from "./error-panel.tsx";
import { Events } from "./events.tsx";
import { Tags } from "./tags.tsx";
import { TaskActions } from "./task-actions.tsx";
import { TaskFacts } from "./task-facts.tsx";
import { useTask } from "./use-task.ts";
import "./task.css";

const route = getRouteApi("/tasks/$taskId");

/** One task execution: what it was asked, what it gave or why it failed, and who touched it. */
export function TaskPage() {
  const { taskId } = route.useParams();
  const { task, attempts, error } = useTask(taskId);
  const names = useFlowNames();
  const run = useQuery(
    FlowExecutionService.method.getFlowExecution,
    { id: task?.flowExecutionId ?? "" },
    { enabled: task !== undefined },
  ).data?.flowExecution;
  useTitle(task === undefined ? "Task execution" : `${task.taskName} #${task.taskExecutionIdx}`);
  if (error !== undefined) {
    return <ProblemNote error={error} />;
  }
  if (task === undefined) {
    return <TableSkeleton label="task execution" />;
  }
  const status = toStatus(task.status);
  return (
    <>
      <nav aria-label="Breadcrumb" className="breadcrumb">
        {run !== undefined && (
          <>
            <Link to="/runs" search={{ flow: run.flowId }}>
              {names.get(run.flowId) ?? "Flow"}
            </Link>
            {" / "}
          </>
        )}
        <Link to="/runs/$runId" params={{ runId: task.flowExecutionId }}>
          Run {run !== undefined && `#${run.runNumber}`}
        </Link>
      </nav>
      <div className="page-head">
        <h1>
          {task.taskName} <span className="number muted">#{task.taskExecutionIdx}</span>
        </h1>
        <StatusBadge status={status} />
        {task.edited && <span className="tag">output edited</span>}
        <TaskActions task={task} run={run} />
      </div>
      <TaskFacts task={task} />
      {status === "stale" && <StaleNotes tasks={[task]} />}
      <div className="task-columns">
        <div className="task-main">
          {task.error !== undefined && <ErrorPanel error={task.error} />}
          {(task.output !== undefined || status === "completed") && (
            <Payload title="Output" value={task.output} none="It gave nothing." />
          )}
          <Payload title="Input" value={task.input} none="It was asked nothing." />
          <Events taskId={task.id} etag={task.etag} />
        </div>
        <aside className="task-side">
          <Attempts attempts={attempts} shownId={task.id} />
          <Tags task={task} />
        </aside>
      </div>
    </>
  );
}
