import { Link } from "@tanstack/react-router";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { isOpen, toStatus } from "../status/status.ts";
import { useDistanceFromTop } from "../table/distance-from-top.ts";
import { formatDuration, toMs } from "../time/duration.ts";
import { useNow } from "../time/now.ts";
import { axisOf, barOf, beginOf, type Span, spanOf } from "./timeline-scale.ts";
import "./timeline.css";

const rowHeight = 30;

/** When each attempt waited and ran, one below the other on one axis of time. */
export function Timeline({ tasks }: { tasks: readonly TaskExecution[] }) {
  const now = useNow(tasks.some(({ status }) => isOpen(toStatus(status))));
  const rows = useMemo(() => [...tasks].sort((left, right) => beginOf(left) - beginOf(right)), [tasks]);
  const span = spanOf(rows, now);
  const body = useRef<HTMLOListElement>(null);
  const scrollMargin = useDistanceFromTop(body, rows.length);
  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => rowHeight,
    overscan: 20,
    scrollMargin,
  });
  return (
    <section className="timeline card" aria-label="Timeline of attempts">
      <div className="timeline-axis" aria-hidden="true">
        <span />
        <div className="timeline-track">
          {axisOf(span).map(({ ms, percent }) => (
            <span key={ms} className="tick number" style={{ left: `${percent}%` }}>
              {formatDuration(ms)}
            </span>
          ))}
        </div>
      </div>
      <ol ref={body} className="timeline-rows" style={{ height: virtualizer.getTotalSize() }}>
        {virtualizer.getVirtualItems().map(({ index, start }) => (
          <TimelineRow
            key={rows[index]!.id}
            task={rows[index]!}
            span={span}
            now={now}
            top={start - scrollMargin}
          />
        ))}
      </ol>
    </section>
  );
}

interface TimelineRowProps {
  readonly task: TaskExecution;
  readonly span: Span;
  readonly now: number;
  /** In pixels from the first row. */
  readonly top: number;
}

function TimelineRow({ task, span, now, top }: TimelineRowProps) {
  const status = toStatus(task.status);
  const { waited, ran } = barOf(task, span, now);
  const startMs = toMs(task.startTime);
  const took = startMs === undefined ? "not started" : formatDuration((toMs(task.endTime) ?? now) - startMs);
  return (
    <li className="timeline-row" style={{ transform: `translateY(${top}px)` }}>
      <Link to="/tasks/$taskId" params={{ taskId: task.id }} className="timeline-name">
        {task.taskName} <span className="muted number">#{task.taskExecutionIdx}</span>
        <span className="visually-hidden">
          , {status}, {took}
        </span>
      </Link>
      <div className="timeline-track" title={`${status}, ${took}`}>
        <span className="bar-waited" style={{ left: `${waited.left}%`, width: `${waited.width}%` }} />
        {ran !== undefined && (
          <span className={`bar is-${status}`} style={{ left: `${ran.left}%`, width: `${ran.width}%` }} />
        )}
      </div>
    </li>
  );
}
