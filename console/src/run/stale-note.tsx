import { callUnaryMethod, useQuery } from "@connectrpc/connect-query";
import { useQueries } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Fragment } from "react";
import {
  TaskExecutionEvent_Type as EventType,
  type TaskExecutionEvent,
} from "../../../gen/taskledger/v1/task_execution_event_pb.ts";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../../gen/taskledger/v1/task_execution_service_pb.ts";
import { useAccount } from "../session/account.tsx";
import { StatusIcon } from "../status/status-icon.tsx";
import { actorName } from "../task/actor.ts";
import { Ago } from "../time/times.tsx";
import "./stale-note.css";

const { listTaskExecutionEvents, getTaskExecution } = TaskExecutionService.method;

/** How many are explained; the events of each are asked for. */
const most = 20;

/** Says which task executions are out of date, and because of which change of which other one. */
export function StaleNotes({ tasks }: { tasks: readonly TaskExecution[] }) {
  const { transport } = useAccount();
  const explained = tasks.slice(0, most);
  const events = useQueries({
    queries: explained.map(({ id, etag }) => ({
      queryKey: ["events", id, etag],
      queryFn: () => callUnaryMethod(transport, listTaskExecutionEvents, { id, pageSize: 1000 }),
    })),
  });
  if (tasks.length === 0) {
    return null;
  }
  const outdated = explained.flatMap((task, index) => {
    const event = events[index]?.data?.events.findLast(({ type }) => type === EventType.OUTDATE);
    return event === undefined ? [] : [{ task, event }];
  });
  const byChange = Map.groupBy(outdated, ({ event }) => `${event.causedById} ${event.requestId}`);
  return (
    <section className="stale-notes is-stale" aria-label="Out of date">
      <h2>
        <StatusIcon status="stale" />
        {tasks.length === 1 ? "1 task execution is" : `${tasks.length} task executions are`} out of date
      </h2>
      {[...byChange].map(([change, affected]) => (
        <Cause key={change} tasks={affected.map(({ task }) => task)} event={affected[0]!.event} />
      ))}
      {tasks.length > most && (
        <p className="muted">The other {tasks.length - most} say why on their own pages.</p>
      )}
    </section>
  );
}

/** Says because of which change some task executions are out of date. */
function Cause({ tasks, event }: { tasks: readonly TaskExecution[]; event: TaskExecutionEvent }) {
  const { causedById: causeId, requestId } = event;
  const enabled = causeId !== "";
  const cause = useQuery(getTaskExecution, { lookup: { case: "id", value: causeId } }, { enabled });
  const causeEvents = useQuery(listTaskExecutionEvents, { id: causeId, pageSize: 1000 }, { enabled });
  // One request made both changes.
  const change = causeEvents.data?.events.find((each) => each.requestId === requestId);
  const upstream = cause.data?.taskExecution;
  if (cause.isLoading || causeEvents.isLoading) {
    return <span className="skeleton" style={{ width: "60%" }} />;
  }
  return (
    <p>
      {tasks.map((task, index) => (
        <Fragment key={task.id}>
          {index > 0 && (index === tasks.length - 1 ? " and " : ", ")}
          <TaskLink task={task} />
        </Fragment>
      ))}{" "}
      {tasks.length === 1 ? "was" : "were"} made from{" "}
      {upstream === undefined ? "data that have changed since" : <TaskLink task={upstream} />},{" "}
      {verbs[change?.type ?? 0] ?? "which was changed"} by {actorName(change?.actor ?? event.actor)}{" "}
      <Ago time={event.createTime} />
      {change?.reason ? `: “${change.reason}”` : "."}
    </p>
  );
}

function TaskLink({ task: { id, taskName, taskExecutionIdx } }: { task: TaskExecution }) {
  return (
    <Link to="/tasks/$taskId" params={{ taskId: id }}>
      {taskName} #{taskExecutionIdx}
    </Link>
  );
}

const verbs: Readonly<Record<number, string>> = {
  [EventType.AMEND]: "whose output was amended",
  [EventType.COMPLETE]: "which was completed anew",
  [EventType.CREATE]: "which was run again",
  [EventType.ADOPT]: "which took a late result",
};
