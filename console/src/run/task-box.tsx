import { Link } from "@tanstack/react-router";
import { Handle, type Node, type NodeProps, Position } from "@xyflow/react";
import { memo } from "react";
import { StatusIcon } from "../status/status-icon.tsx";
import type { Direction } from "./layout.ts";
import type { TaskState } from "./newest.ts";

interface TaskBoxData extends Record<string, unknown> {
  readonly name: string;
  /** What stands below the name when there is no status to show. */
  readonly note: string;
  readonly state: TaskState | undefined;
  readonly runId: string | undefined;
  readonly direction: Direction;
}

/** A task as a node of a graph. */
export type TaskNode = Node<TaskBoxData, "task">;

/** How the nodes of a graph are drawn. */
export const nodeTypes = { task: memo(TaskBox) };

function TaskBox({ data: { name, note, state, runId, direction } }: NodeProps<TaskNode>) {
  const className = `task-box ${state?.status === undefined ? "" : `is-${state.status}`}`;
  const content = (
    <>
      <span className="task-box-name">{name}</span>
      <span className="task-box-note">
        {state?.status !== undefined && <StatusIcon status={state.status} />}
        {state?.status ?? (runId === undefined ? note : "not yet")}
        {state !== undefined && state.records > 1 && ` · ${state.records} records`}
      </span>
    </>
  );
  return (
    <>
      <Handle
        type="target"
        position={direction === "right" ? Position.Left : Position.Top}
        isConnectable={false}
      />
      {runId === undefined || state === undefined ? (
        <div className={className}>{content}</div>
      ) : state.records > 1 ? (
        <Link
          className={className}
          to="/runs/$runId"
          params={{ runId }}
          search={{ view: "tasks", task: name }}
        >
          {content}
        </Link>
      ) : (
        <Link className={className} to="/tasks/$taskId" params={{ taskId: state.newestId }}>
          {content}
        </Link>
      )}
      <Handle
        type="source"
        position={direction === "right" ? Position.Right : Position.Bottom}
        isConnectable={false}
      />
    </>
  );
}
