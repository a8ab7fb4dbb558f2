import type { FlowExecution_Status as RunStatus } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import { fromStatus, type Status, statuses } from "../status/status.ts";

/** Which runs are asked for. It stands in the URL, so that it can be sent to others. */
export interface RunFilter {
  /** Names of statuses with commas between. */
  readonly status?: string;
  /** The id of a flow. */
  readonly flow?: string;
}

/** Reads the filter from the query of the URL; what it does not understand it leaves out. */
export function readRunFilter(query: Readonly<Record<string, unknown>>): RunFilter {
  const status = statusesOf({ status: String(query["status"] ?? "") }).join(",");
  const flow = String(query["flow"] ?? "");
  return {
    ...(status !== "" && { status }),
    ...(/^[\da-f-]{36}$/i.test(flow) && { flow }),
  };
}

/** Returns the statuses of a filter. */
export function statusesOf({ status = "" }: RunFilter): Status[] {
  const asked = new Set(status.split(","));
  return statuses.filter((each) => asked.has(each));
}

/** Returns the filter with a status put in or taken out. */
export function toggleStatus(filter: RunFilter, status: Status): RunFilter {
  const asked = new Set(statusesOf(filter));
  if (!asked.delete(status)) {
    asked.add(status);
  }
  return readRunFilter({ ...filter, status: [...asked].join(",") });
}

/** Returns the filter as the service takes it. */
export function toRequest(filter: RunFilter): { flowId: string; statuses: RunStatus[] } {
  return {
    flowId: filter.flow ?? "",
    statuses: statusesOf(filter).map(fromStatus),
  };
}
