import { useInfiniteQuery } from "@connectrpc/connect-query";
import { Link } from "@tanstack/react-router";
import type { Flow } from "../../../gen/taskledger/v1/flow_pb.ts";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";
import { byPageToken } from "../rpc/paging.tsx";
import { ProblemNote } from "../rpc/problem-note.tsx";
import { mayEdit, useAccount } from "../session/account.tsx";
import { useTitle } from "../shell/title.ts";
import { type Column, DataTable } from "../table/data-table.tsx";
import { RowLink } from "../table/row-link.tsx";
import { TableSkeleton } from "../table/table-skeleton.tsx";
import { Ago } from "../time/times.tsx";

const columns: readonly Column<Flow>[] = [
  {
    id: "flow",
    header: "Flow",
    width: "minmax(0, 2fr)",
    cell: ({ id, name }) => <RowLink href={`/flows/${id}`}>{name}</RowLink>,
  },
  {
    id: "description",
    header: "Description",
    width: "minmax(0, 3fr)",
    cell: ({ description }) => <span className="muted">{description || "-"}</span>,
  },
  {
    id: "version",
    header: "Version",
    width: "72px",
    cell: ({ version }) => <span className="number">v{version}</span>,
  },
  { id: "changed", header: "Changed", width: "112px", cell: ({ updateTime }) => <Ago time={updateTime} /> },
  {
    id: "by",
    header: "By",
    width: "minmax(80px, 1fr)",
    cell: ({ modifiedBy }) => <span className="muted">{modifiedBy}</span>,
  },
];

const idOf = ({ id }: Flow) => id;

/** The flows of the organization. */
export function FlowsPage() {
  useTitle("Flows");
  const { role } = useAccount();
  const { data, error, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(
    FlowService.method.listFlows,
    { pageSize: 100, pageToken: "" },
    byPageToken,
  );
  const flows = data?.pages.flatMap((page) => page.flows);
  return (
    <>
      <div className="page-head">
        <h1>Flows</h1>
        {mayEdit(role) && (
          <div className="actions">
            <Link to="/flows/new" className="button primary">
              New flow
            </Link>
          </div>
        )}
      </div>
      {error !== null ? (
        <ProblemNote error={error} />
      ) : flows === undefined ? (
        <TableSkeleton label="flows" />
      ) : flows.length === 0 ? (
        <div className="empty card">
          <h2>There is no flow yet</h2>
          <p>A flow says in YAML which tasks there are and what each depends on.</p>
        </div>
      ) : (
        <DataTable
          label="Flows"
          rows={flows}
          columns={columns}
          rowId={idOf}
          onEnd={hasNextPage && !isFetchingNextPage ? () => void fetchNextPage() : undefined}
        />
      )}
    </>
  );
}
