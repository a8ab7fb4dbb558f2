import type { ReactNode } from "react";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { Ago, Duration } from "../time/times.tsx";

/** When, how long, which attempt, by whom. */
export function TaskFacts({ task }: { task: TaskExecution }) {
  const { lease, iteration, interruptions } = task;
  const facts: readonly (readonly [string, ReactNode])[] = [
    ["Duration", <Duration key="d" start={task.startTime} end={task.endTime} />],
    [
      "Attempt",
      <span key="a" className="number">
        {task.attempt}
      </span>,
    ],
    ...(iteration === undefined
      ? []
      : [
          [
            "Item",
            <span key="i" className="number">
              {iteration}
            </span>,
          ] as const,
        ]),
    ...(interruptions === 0
      ? []
      : [
          [
            "Interruptions",
            <span key="n" className="number">
              {interruptions}
            </span>,
          ] as const,
        ]),
    ["Created", <Ago key="c" time={task.createTime} />],
    ["Changed", <Ago key="u" time={task.updateTime} />],
    ["Changed by", task.modifiedBy],
    ...(lease === undefined
      ? []
      : [
          ["Worker", lease.workerId] as const,
          ["Last heartbeat", <Ago key="h" time={lease.heartbeatTime} />] as const,
          ...(lease.progress === undefined
            ? []
            : [
                [
                  "Progress",
                  `${Math.round(lease.progress.fraction * 100)} % ${lease.progress.message}`,
                ] as const,
              ]),
        ]),
  ];
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
