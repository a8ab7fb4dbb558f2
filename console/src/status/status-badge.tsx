import type { Status } from "./status.ts";
import { StatusIcon } from "./status-icon.tsx";
import "./status.css";

/** A status: its sign, its name, its colour. */
export function StatusBadge({ status }: { status: Status }) {
  return (
    <span className={`badge is-${status}`}>
      <StatusIcon status={status} />
      {status}
    </span>
  );
}
