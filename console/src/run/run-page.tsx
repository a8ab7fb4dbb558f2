import { useQuery } from "@connectrpc/connect-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { FlowExecution_Dispatch as Dispatch } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";
import { useFlowNames } from "../flows/use-flow-names.ts";
import { Payload } from "../payload/payload.tsx";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { RunProgress } from "../runs/run-progress.tsx";
import { useTitle } from "../shell/title.ts";
import { toStatus } from "../status/status.ts";
import { StatusBadge } from "../status/status-badge.tsx";
import { TableSkeleton } from "../table/table-skeleton.tsx";
import { Ago, Duration } from "../time/times.tsx";
import { Graph } from "./graph.tsx";
import { RunActions } from "./run-actions.tsx";
import { useRun, useRunTasks } from "./run-tasks.ts";
import { type RunView, views } from "./run-view.ts";
import { StaleNotes } from "./stale-note.tsx";
import { TasksTable } from "./tasks-table.tsx";
import { Timeline } from "./timeline.tsx";
import "./run.css";

const route = getRouteApi("/runs/$runId");

/** One run: how far it is, its graph, its timeline, its task executions. */
export function RunPage() {
  const { runId } = route.useParams();
  const { view = "graph", task } = route.useSearch();
  const { run, error } = useRun(runId);
  const watched = useRunTasks(runId);
  const flow = useQuery(
    FlowService.method.getFlow,
    { lookup: { case: "id", value: run?.flowId ?? "" }, version: run?.flowVersion ?? 0 },
    { enabled: run !== undefined, staleTime: Number.POSITIVE_INFINITY },
  ).data?.flow;
  const stale = useMemo(
    () => watched.items.filter(({ status }) => toStatus(status) === "stale"),
    [watched.items],
  );
  const names = useFlowNames();
  const name = flow?.name ?? names.get(run?.flowId ?? "") ?? "Run";
  useTitle(run === undefined ? "Run" : `${name} #${run.runNumber}`);
  const failure = error ?? watched.error;
  if (failure !== undefined) {
    return <ProblemNote error={failure} />;
  }
  if (run === undefined) {
    return <TableSkeleton label="run" />;
  }
  return (
    <>
      <nav aria-label="Breadcrumb" className="breadcrumb">
        <Link to="/runs" search={{ flow: run.flowId }}>
          {name}
        </Link>
      </nav>
      <div className="page-head">
        <h1>
          {name} <span className="number">#{run.runNumber}</span>
        </h1>
        <StatusBadge status={toStatus(run.status)} />
        <RunActions run={run} />
      </div>
      <dl className="facts">
        <div>
          <dt>Progress</dt>
          <dd>
            <RunProgress progress={run.progress} />
          </dd>
        </div>
        <div>
          <dt>Duration</dt>
          <dd>
            <Duration start={run.startTime} end={run.endTime} />
          </dd>
        </div>
        <div>
          <dt>Created</dt>
          <dd>
            <Ago time={run.createTime} />
          </dd>
        </div>
        <div>
          <dt>Version</dt>
          <dd>
            <Link to="/flows/$flowId" params={{ flowId: run.flowId }} search={{ version: run.flowVersion }}>
              v{run.flowVersion}
            </Link>
          </dd>
        </div>
        <div>
          <dt>Tasks run by</dt>
          <dd>{run.dispatch === Dispatch.MANAGED ? "workers that claim them" : "an outside engine"}</dd>
        </div>
        {Object.entries(run.labels).map(([key, value]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <StaleNotes tasks={stale} />
      <nav aria-label="Views of this run" className="tabs">
        {views.map((each) => (
          <Link
            key={each.view}
            to="/runs/$runId"
            params={{ runId }}
            search={each.view === "graph" ? {} : { view: each.view }}
            replace
            activeOptions={{ exact: true, includeSearch: true }}
          >
            {each.title}
          </Link>
        ))}
      </nav>
      <RunViewPanel view={view} task={task} runId={runId} flow={flow} watched={watched} />
    </>
  );
}

interface RunViewPanelProps {
  readonly view: RunView;
  readonly task: string | undefined;
  readonly runId: string;
  readonly flow: React.ComponentProps<typeof Graph>["flow"] | undefined;
  readonly watched: ReturnType<typeof useRunTasks>;
}

function RunViewPanel({ view, task, runId, flow, watched: { items, isSynced } }: RunViewPanelProps) {
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
