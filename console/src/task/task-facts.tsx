import type { ReactNode } from "react";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import { Facts } from "../shell/facts.tsx";
import { Ago, Duration } from "../time/times.tsx";

/** When, how long, which attempt, by whom; and who works on it now. */
export function TaskFacts({ task }: { task: TaskExecution }) {
  const { lease, iteration, interruptions } = task;
  const progress = lease?.progress;
  return (
    <Facts
      facts={{
        Duration: <Duration start={task.startTime} end={task.endTime} />,
        Attempt: <Count value={task.attempt} />,
        Item: iteration === undefined ? undefined : <Count value={iteration} />,
        Interruptions: interruptions === 0 ? undefined : <Count value={interruptions} />,
        Created: <Ago time={task.createTime} />,
        Changed: <Ago time={task.updateTime} />,
        "Changed by": task.modifiedBy,
        Worker: lease?.workerId,
        "Last heartbeat": lease && <Ago time={lease.heartbeatTime} />,
        Progress: progress && `${Math.round(progress.fraction * 100)} % ${progress.message}`,
      }}
    />
  );
}

function Count({ value }: { value: number }): ReactNode {
  return <span className="number">{value}</span>;
}
