import { useQuery } from "@connectrpc/connect-query";
import { useMemo } from "react";
import { FlowService } from "../../../gen/taskledger/v1/flow_service_pb.ts";

/** Returns the names of the flows by id, deleted ones included, as far as they are known by now. */
export function useFlowNames(): ReadonlyMap<string, string> {
  const { data } = useQuery(
    FlowService.method.listFlows,
    { pageSize: 1000, showDeleted: true },
    { staleTime: 30_000 },
  );
  return useMemo(() => new Map(data?.flows.map(({ id, name }) => [id, name])), [data]);
}
