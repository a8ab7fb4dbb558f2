import type { FlowExecution } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import type { RecentRun } from "./run-changes.ts";

/**
 * Returns the runs of the loaded pages as they are now, newest first.
 *
 * @param isWhole whether the pages hold the oldest run, too
 */
export function mergeRuns(
  loaded: readonly FlowExecution[],
  recent: readonly RecentRun[],
  isWhole: boolean,
): readonly FlowExecution[] {
  if (recent.length === 0) {
    return loaded;
  }
  const runs = new Map(loaded.map((run) => [run.id, run]));
  // The ids begin with the time. What is older than the last page comes with a page of its own.
  const oldest = isWhole ? "" : (loaded.at(-1)?.id ?? "");
  for (const { id, run } of recent) {
    const known = runs.get(id);
    if (run === undefined) {
      runs.delete(id);
    } else if (id >= oldest && (known === undefined || known.revision <= run.revision)) {
      runs.set(id, run);
    }
  }
  return [...runs.values()].sort((left, right) => (left.id < right.id ? 1 : -1));
}
