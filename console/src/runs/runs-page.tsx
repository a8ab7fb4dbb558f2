import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import type { FlowExecution } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import { useFlowNames } from "../flows/use-flow-names.ts";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { useTitle } from "../shell/title.ts";
import { toStatus } from "../status/status.ts";
import { StatusBadge } from "../status/status-badge.tsx";
import { type Column, DataTable } from "../table/data-table.tsx";
import { RowLink } from "../table/row-link.tsx";
import { TableSkeleton } from "../table/table-skeleton.tsx";
import { Ago, Duration } from "../time/times.tsx";
import { FlowFilter } from "./flow-filter.tsx";
import { RunProgress } from "./run-progress.tsx";
import { StatusFilter } from "./status-filter.tsx";
import { useRuns } from "./use-runs.ts";
import "./runs.css";

const route = getRouteApi("/runs");

/** The runs of the organization, live, by status and flow. */
export function RunsPage() {
  useTitle("Runs");
  const filter = route.useSearch();
  const { runs, error, loadMore } = useRuns(filter);
  const names = useFlowNames();
  const columns = useMemo(() => columnsOf(names), [names]);
  const isFiltered = filter.status !== undefined || filter.flow !== undefined;
  return (
    <>
      <div className="page-head">
        <h1>Runs</h1>
      </div>
      <div className="filters">
        <StatusFilter filter={filter} />
        <FlowFilter filter={filter} />
      </div>
      {error !== undefined ? (
        <ProblemNote error={error} />
      ) : runs === undefined ? (
        <TableSkeleton label="runs" />
      ) : runs.length > 0 ? (
        <DataTable label="Runs" rows={runs} columns={columns} rowId={idOf} onEnd={loadMore} />
      ) : isFiltered ? (
        <div className="empty card">
          <h2>No run passes this filter</h2>
          <Link to="/runs" search={{}} className="button">
            Show all runs
          </Link>
        </div>
      ) : (
        <div className="empty card">
          <h2>Nothing has run yet</h2>
          <p>Start a run of a flow and watch it here.</p>
          <Link to="/flows" className="button primary">
            To the flows
          </Link>
        </div>
      )}
    </>
  );
}

const idOf = ({ id }: FlowExecution) => id;

function columnsOf(names: ReadonlyMap<string, string>): readonly Column<FlowExecution>[] {
  return [
    {
      id: "run",
      header: "Run",
      width: "minmax(0, 3fr)",
      cell: (run) => (
        <RowLink href={`/runs/${run.id}`}>
          {names.get(run.flowId) ?? "…"} <span className="number muted">#{run.runNumber}</span>
        </RowLink>
      ),
    },
    {
      id: "status",
      header: "Status",
      width: "120px",
      cell: (run) => <StatusBadge status={toStatus(run.status)} />,
    },
    {
      id: "progress",
      header: "Progress",
      width: "minmax(140px, 1.5fr)",
      cell: (run) => <RunProgress progress={run.progress} />,
    },
    {
      id: "duration",
      header: "Duration",
      width: "90px",
      cell: (run) => <Duration start={run.startTime} end={run.endTime} />,
    },
    { id: "created", header: "Created", width: "110px", cell: (run) => <Ago time={run.createTime} /> },
    {
      id: "version",
      header: "Version",
      width: "64px",
      cell: (run) => <span className="number">v{run.flowVersion}</span>,
    },
  ];
}
