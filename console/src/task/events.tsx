import { useInfiniteQuery } from "@connectrpc/connect-query";
import { Link } from "@tanstack/react-router";
import { useEffect } from "react";
import {
  TaskExecutionEvent_Type as EventType,
  type TaskExecutionEvent,
} from "../../../gen/taskledger/v1/task_execution_event_pb.ts";
import { TaskExecutionService } from "../../../gen/taskledger/v1/task_execution_service_pb.ts";
import { byPageToken, MoreButton } from "../rpc/paging.tsx";
import { toStatus } from "../status/status.ts";
import { StatusBadge } from "../status/status-badge.tsx";
import { Ago } from "../time/times.tsx";
import { actorName } from "./actor.ts";

/** What happened to a task execution, and who did it. */
export function Events({ taskId, etag }: { taskId: string; etag: string }) {
  const { data, hasNextPage, fetchNextPage, refetch } = useInfiniteQuery(
    TaskExecutionService.method.listTaskExecutionEvents,
    { id: taskId, pageSize: 200, pageToken: "" },
    byPageToken,
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: with each change there is another event
  useEffect(() => void refetch(), [etag, refetch]);
  const events = data?.pages.flatMap((page) => page.events) ?? [];
  return (
    <section className="events card" aria-label="Events">
      <h2>Events</h2>
      <ol>
        {events.map((event) => (
          <EventItem key={event.revision.toString()} event={event} />
        ))}
      </ol>
      <MoreButton hasNextPage={hasNextPage} fetchNextPage={fetchNextPage} />
    </section>
  );
}

const verbs: Readonly<Record<number, string>> = {
  [EventType.CREATE]: "created",
  [EventType.START]: "started",
  [EventType.COMPLETE]: "completed",
  [EventType.FAIL]: "failed",
  [EventType.CANCEL]: "cancelled",
  [EventType.OUTDATE]: "out of date",
  [EventType.DELETE]: "deleted",
  [EventType.UNDELETE]: "undeleted",
  [EventType.AMEND]: "amended",
  [EventType.TAG]: "tags changed",
  [EventType.REQUEST_CANCEL]: "asked to stop",
  [EventType.LATE_RESULT]: "late result handed in",
  [EventType.ADOPT]: "late result adopted",
};

function EventItem({ event }: { event: TaskExecutionEvent }) {
  const {
    type,
    fromStatus,
    toStatus: to,
    actor,
    reason,
    changedFields,
    causedById,
    createTime,
    revision,
  } = event;
  return (
    <li>
      <div className="event-head">
        <strong>{verbs[type] ?? "changed"}</strong>
        {fromStatus !== to && <StatusBadge status={toStatus(to)} />}
        {changedFields.map((field) => (
          <code key={field}>{field}</code>
        ))}
        <span className="muted event-time">
          <Ago time={createTime} />
        </span>
      </div>
      <div className="muted small">
        by {actorName(actor)}
        {causedById !== "" && (
          <>
            , because of{" "}
            <Link to="/tasks/$taskId" params={{ taskId: causedById }}>
              another task execution
            </Link>
          </>
        )}
        <span className="number"> · revision {revision.toString()}</span>
      </div>
      {reason !== "" && <blockquote>{reason}</blockquote>}
    </li>
  );
}
