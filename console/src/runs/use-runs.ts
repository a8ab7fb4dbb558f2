import { useInfiniteQuery } from "@connectrpc/connect-query";
import { useMemo } from "react";
import type { FlowExecution } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { type Connection, useReportConnection } from "../live/connection.ts";
import { toProblem } from "../rpc/problem.ts";
import { type RunFilter, toRequest } from "./run-filter.ts";

/** Runs that pass a filter, newest first. */
export interface Runs {
  /** Undefined until they are there. */
  readonly runs: readonly FlowExecution[] | undefined;
  readonly error: unknown;
  readonly loadMore: (() => void) | undefined;
}

/** Loads the runs that pass a filter, page by page, and keeps them up to date. */
export function useRuns(filter: RunFilter): Runs {
  const query = useInfiniteQuery(
    FlowExecutionService.method.listFlowExecutions,
    { ...toRequest(filter), pageSize: 100, pageToken: "" },
    {
      pageParamKey: "pageToken",
      getNextPageParam: ({ nextPageToken }) => nextPageToken || undefined,
      refetchInterval: 2000,
    },
  );
  const { data, error, hasNextPage, isFetchingNextPage, fetchNextPage, failureReason } = query;
  const runs = useMemo(() => data?.pages.flatMap(({ flowExecutions }) => flowExecutions), [data]);
  useReportConnection(connectionOf(runs !== undefined, failureReason));
  return {
    runs,
    error: error !== null && !toProblem(error).isOutage ? error : undefined,
    loadMore: hasNextPage && !isFetchingNextPage ? () => void fetchNextPage() : undefined,
  };
}

function connectionOf(isLoaded: boolean, failure: unknown): Connection {
  if (failure !== null && toProblem(failure).isOutage) {
    return "reconnecting";
  }
  return isLoaded ? "live" : "connecting";
}
