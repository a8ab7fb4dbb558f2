import type { Status } from "./status.ts";

/** What tells the statuses apart without colour. */
const paths: Readonly<Record<Status, string>> = {
  queued: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M8 5v3.2l2 1.6",
  running: "M8 2.5a5.5 5.5 0 1 1-5.5 5.5M8 5.5a2.5 2.5 0 1 0 0 5a2.5 2.5 0 0 0 0-5",
  completed: "M3 8.5l3.5 3.5L13 4.5",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M4.2 4.2l7.6 7.6",
  stale: "M2.8 6.2a5.5 5.5 0 0 1 10-1M13.2 9.8a5.5 5.5 0 0 1-10 1M13 2v3.4H9.6M3 14v-3.4h3.4",
  deleted: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9",
};

/** The sign of a status. Its name stands beside it, so that it is not read aloud. */
export function StatusIcon({ status }: { status: Status }) {
  return (
    <svg viewBox="0 0 16 16" className={`status-icon is-${status}`} aria-hidden="true">
      <path d={paths[status]} />
    </svg>
  );
}
