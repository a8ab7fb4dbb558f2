import { useNavigate } from "@tanstack/react-router";
import { statuses } from "../status/status.ts";
import { StatusIcon } from "../status/status-icon.tsx";
import { type RunFilter, statusesOf, toggleStatus } from "./run-filter.ts";

/** Buttons that put each status into the filter, or take it out. */
export function StatusFilter({ filter }: { filter: RunFilter }) {
  const asked = statusesOf(filter);
  const navigate = useNavigate();
  return (
    <fieldset className="status-filter">
      <legend className="visually-hidden">Filter by status</legend>
      {statuses.map((status) => (
        <button
          key={status}
          type="button"
          aria-pressed={asked.includes(status)}
          className={`chip is-${status}`}
          onClick={() => navigate({ to: "/runs", search: toggleStatus(filter, status), replace: true })}
        >
          <StatusIcon status={status} />
          {status}
        </button>
      ))}
    </fieldset>
  );
}
