import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { toStatus } from "../status/status.ts";
import { StatusBadge } from "../status/status-badge.tsx";
import { Duration } from "../time/times.tsx";

const few = 12;

/** The task executions of one task of a run: attempts, items and what was run again. */
export function Attempts({ attempts, shownId }: { attempts: readonly TaskExecution[]; shownId: string }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? attempts.slice(0, 1000) : attempts.slice(0, few);
  return (
    <section className="side-panel card" aria-label="Attempts">
      <h2>Attempts</h2>
      <ol className="attempts">
        {shown.map((each) => (
          <li key={each.id}>
            <Link
              to="/tasks/$taskId"
              params={{ taskId: each.id }}
              aria-current={each.id === shownId ? "page" : undefined}
            >
              <span className="number">#{each.taskExecutionIdx}</span>
              {each.iteration !== undefined && <span className="muted number">item {each.iteration}</span>}
              <StatusBadge status={toStatus(each.status)} />
              <span className="muted">
                <Duration start={each.startTime} end={each.endTime} />
              </span>
            </Link>
          </li>
        ))}
      </ol>
      {!isWhole && attempts.length > few && (
        <button type="button" className="button small" onClick={() => setWhole(true)}>
          Show all {attempts.length}
        </button>
      )}
    </section>
  );
}
