import type { FlowExecution } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import type { FlowExecutionChange } from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { Change } from "../live/collection.ts";

/** A run as the watch told of it last: as it is, or gone from what is asked for. */
export interface RecentRun {
  readonly id: string;
  readonly run: FlowExecution | undefined;
}

/** Returns the changes of a message. What is gone is kept as such: a page that was loaded before may hold it. */
export function toRunChanges(changes: readonly FlowExecutionChange[]): Change<RecentRun>[] {
  return changes.flatMap(({ change }): Change<RecentRun>[] => {
    switch (change.case) {
      case "flowExecution":
        return [{ id: change.value.id, item: { id: change.value.id, run: change.value } }];
      case "removed":
        return [{ id: change.value.id, item: { id: change.value.id, run: undefined } }];
      default:
        return [];
    }
  });
}
