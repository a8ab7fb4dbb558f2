import { Link } from "@tanstack/react-router";
import {
  FlowExecution_Dispatch as Dispatch,
  type FlowExecution,
} from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import { RunProgress } from "../runs/run-progress.tsx";
import { Facts } from "../shell/facts.tsx";
import { Ago, Duration } from "../time/times.tsx";

/** How far a run is, how long it takes, and what it was given. */
export function RunFacts({ run }: { run: FlowExecution }) {
  const { flowId, flowVersion, dispatch, labels } = run;
  return (
    <Facts
      facts={{
        Progress: <RunProgress progress={run.progress} />,
        Duration: <Duration start={run.startTime} end={run.endTime} />,
        Created: <Ago time={run.createTime} />,
        Version: (
          <Link to="/flows/$flowId" params={{ flowId }} search={{ version: flowVersion }}>
            v{flowVersion}
          </Link>
        ),
        "Tasks run by": dispatch === Dispatch.MANAGED ? "workers that claim them" : "an outside engine",
        ...labels,
      }}
    />
  );
}
