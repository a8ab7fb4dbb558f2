import { useNavigate } from "@tanstack/react-router";
import { useFlowNames } from "../flows/use-flow-names.ts";
import { type RunFilter, readRunFilter } from "./run-filter.ts";

/** Chooses the flow whose runs are shown. */
export function FlowFilter({ filter }: { filter: RunFilter }) {
  const names = useFlowNames();
  const navigate = useNavigate();
  return (
    <select
      aria-label="Filter by flow"
      className="flow-filter"
      value={filter.flow ?? ""}
      onChange={({ target }) =>
        navigate({ to: "/runs", search: readRunFilter({ ...filter, flow: target.value }), replace: true })
      }
    >
      <option value="">All flows</option>
      {[...names].map(([id, name]) => (
        <option key={id} value={id}>
          {name}
        </option>
      ))}
    </select>
  );
}
