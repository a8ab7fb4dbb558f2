import { useQuery } from "@connectrpc/connect-query";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { FlowExecutionService } from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { Flow } from "../../../gen/taskledger/v1/flow_pb.ts";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { Payload } from "../payload/payload.tsx";
import { TableSkeleton } from "../table/table-skeleton.tsx";
import { Graph } from "./graph.tsx";
import type { Watched } from "./run-tasks.ts";
import type { RunView } from "./run-view.ts";
import { TasksTable } from "./tasks-table.tsx";
import { Timeline } from "./timeline.tsx";

interface RunPanelProps {
  readonly view: RunView;
  readonly task: string | undefined;
  readonly runId: string;
  readonly flow: Flow | undefined;
  readonly watched: Watched<TaskExecution>;
}

/** What is shown of a run below its head. */
export function RunPanel({ view, task, runId, flow, watched: { items, isSynced } }: RunPanelProps) {
  const shown = useMemo(
    () => (task === undefined ? items : items.filter(({ taskName }) => taskName === task)),
    [items, task],
  );
  if (view === "input") {
    return <RunInput runId={runId} />;
  }
  if (!isSynced && items.length === 0) {
    return <TableSkeleton label="task executions" />;
  }
  if (view === "graph") {
    return flow === undefined ? (
      <TableSkeleton label="graph" />
    ) : (
      <Graph flow={flow} runId={runId} tasks={items} />
    );
  }
  if (items.length === 0) {
    return (
      <div className="empty card">
        <h2>No task has been recorded yet</h2>
        <p>They appear here as soon as the first is ready or reported.</p>
      </div>
    );
  }
  if (view === "timeline") {
    return <Timeline tasks={items} />;
  }
  return (
    <>
      <p className="table-note muted number" role="status">
        {shown.length.toLocaleString()} task executions
        {task !== undefined && (
          <>
            {" "}
            of {task} ·{" "}
            <Link to="/runs/$runId" params={{ runId }} search={{ view: "tasks" }}>
              show all
            </Link>
          </>
        )}
      </p>
      <TasksTable tasks={shown} />
    </>
  );
}

function RunInput({ runId }: { runId: string }) {
  const { data } = useQuery(FlowExecutionService.method.getFlowExecution, { id: runId });
  return (
    <Payload title="Input of the run" value={data?.flowExecution?.input} isLoading={data === undefined} />
  );
}
