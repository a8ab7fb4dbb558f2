import { useMemo } from "react";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { toStatus } from "../status/status.ts";
import { StatusBadge } from "../status/status-badge.tsx";
import { type Column, DataTable } from "../table/data-table.tsx";
import { RowLink } from "../table/row-link.tsx";
import { toMs } from "../time/duration.ts";
import { Ago, Duration } from "../time/times.tsx";

const columns: readonly Column<TaskExecution>[] = [
  {
    id: "task",
    header: "Task",
    width: "minmax(0, 3fr)",
    sortBy: ({ taskName, taskExecutionIdx }) => `${taskName}\n${String(taskExecutionIdx).padStart(10, "0")}`,
    cell: (task) => (
      <RowLink href={`/tasks/${task.id}`}>
        {task.taskName} <span className="number muted">#{task.taskExecutionIdx}</span>
      </RowLink>
    ),
  },
  {
    id: "status",
    header: "Status",
    width: "180px",
    sortBy: ({ status }) => status,
    cell: (task) => (
      <>
        <StatusBadge status={toStatus(task.status)} /> {task.edited && <span className="tag">edited</span>}
      </>
    ),
  },
  {
    id: "attempt",
    header: "Attempt",
    width: "72px",
    sortBy: ({ attempt }) => attempt,
    cell: ({ attempt }) => <span className="number">{attempt}</span>,
  },
  {
    id: "item",
    header: "Item",
    width: "56px",
    sortBy: ({ iteration = -1 }) => iteration,
    cell: ({ iteration }) => (
      <span className={iteration === undefined ? "muted" : "number"}>{iteration ?? "-"}</span>
    ),
  },
  {
    id: "duration",
    header: "Duration",
    width: "92px",
    sortBy: ({ startTime, endTime }) => (toMs(endTime) ?? Date.now()) - (toMs(startTime) ?? Date.now()),
    cell: (task) => <Duration start={task.startTime} end={task.endTime} />,
  },
  {
    id: "updated",
    header: "Updated",
    width: "112px",
    sortBy: ({ updateTime }) => toMs(updateTime) ?? 0,
    cell: (task) => <Ago time={task.updateTime} />,
  },
  {
    id: "by",
    header: "By",
    width: "minmax(72px, 1fr)",
    sortBy: ({ modifiedBy }) => modifiedBy,
    cell: ({ modifiedBy }) => <span className="muted">{modifiedBy}</span>,
  },
];

const idOf = ({ id }: TaskExecution) => id;

/** Task executions of a run, newest first until sorted in another way. */
export function TasksTable({ tasks }: { tasks: readonly TaskExecution[] }) {
  const rows = useMemo(() => [...tasks].sort((left, right) => (left.id < right.id ? 1 : -1)), [tasks]);
  return <DataTable label="Task executions" rows={rows} columns={columns} rowId={idOf} />;
}
