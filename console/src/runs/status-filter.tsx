import { Link } from "@tanstack/react-router";
import { statuses } from "../status/status.ts";
import { StatusIcon } from "../status/status-icon.tsx";
import { type RunFilter, statusesOf, toggleStatus } from "./run-filter.ts";

/** Links that put each status into the filter, or take it out. */
export function StatusFilter({ filter }: { filter: RunFilter }) {
  const asked = statusesOf(filter);
  return (
    <nav aria-label="Filter by status" className="status-filter">
      {statuses.map((status) => (
        <Link
          key={status}
          to="/runs"
          search={toggleStatus(filter, status)}
          replace
          activeProps={{}}
          aria-current={asked.includes(status) ? "true" : undefined}
          className={`chip is-${status}`}
        >
          <StatusIcon status={status} />
          {status}
        </Link>
      ))}
    </nav>
  );
}
