import type { FlowExecutionProgress } from "../../../gen/taskledger/v1/flow_execution_pb.ts";

/** How many of the tasks of a run are done, and how they ended. */
export function RunProgress({ progress }: { progress: FlowExecutionProgress | undefined }) {
  if (progress === undefined) {
    return <span className="muted">-</span>;
  }
  const { total, completed, failed, cancelled, stale } = progress;
  const parts = { completed, stale, failed, cancelled };
  const done = completed + failed + cancelled + stale;
  return (
    <span className="progress">
      <span className="progress-bar" aria-hidden="true">
        {Object.entries(parts).map(([status, count]) => (
          <span
            key={status}
            className={`is-${status}`}
            style={{ width: `${(100 * count) / Math.max(total, 1)}%` }}
          />
        ))}
      </span>
      <span className="number">
        {done}/{total}
        <span className="visually-hidden"> tasks done{failed > 0 && `, ${failed} of them failed`}</span>
      </span>
    </span>
  );
}
