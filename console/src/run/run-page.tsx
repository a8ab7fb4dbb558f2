import { useQuery } from "@connectrpc/connect-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";
import { useFlowNames } from "../flows/use-flow-names.ts";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { useTitle } from "../shell/title.ts";
import { toStatus } from "../status/status.ts";
import { StatusBadge } from "../status/status-badge.tsx";
import { TableSkeleton } from "../table/table-skeleton.tsx";
import { RunActions } from "./run-actions.tsx";
import { RunFacts } from "./run-facts.tsx";
import { RunPanel } from "./run-panel.tsx";
import { useRun, useRunTasks } from "./run-tasks.ts";
import { views } from "./run-view.ts";
import { StaleNotes } from "./stale-note.tsx";
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
      <RunFacts run={run} />
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
      <RunPanel view={view} task={task} runId={runId} flow={flow} watched={watched} />
    </>
  );
}
