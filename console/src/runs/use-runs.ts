import { createClient } from "@connectrpc/connect";
import { useInfiniteQuery } from "@connectrpc/connect-query";
import { keepPreviousData } from "@tanstack/react-query";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { FlowExecution } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  FlowExecutionService,
  type WatchFlowExecutionsResponse,
} from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { Collection } from "../live/collection.ts";
import { type Subscription, useWatch } from "../live/use-watch.ts";
import { byPageToken } from "../rpc/paging.tsx";
import { useAccount } from "../session/account.tsx";
import { mergeRuns } from "./merge-runs.ts";
import { type RecentRun, toRunChanges } from "./run-changes.ts";
import { type RunFilter, statusesOf, toRequest } from "./run-filter.ts";

/** Runs that pass a filter, newest first. */
export interface Runs {
  /** Undefined until they are there. */
  readonly runs: readonly FlowExecution[] | undefined;
  readonly error: unknown;
  /** Undefined if there are no more, or they are on their way. */
  readonly loadMore: (() => void) | undefined;
}

/**
 * Loads the runs that pass a filter, page by page, and keeps them up to date.
 *
 * An organization may have any number of runs, so the watch tells only of what changes from now on; the pages
 * are loaded after it has begun, so that nothing is missed in between.
 */
export function useRuns(filter: RunFilter): Runs {
  const { transport } = useAccount();
  const request = useMemo(() => toRequest(filter), [filter]);
  // Deleted runs cannot be watched; they are looked at now and then.
  const isWatched = !statusesOf(filter).includes("deleted");
  const [subscriptionKey, setSubscriptionKey] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key asks for a new one
  const changes = useMemo(() => new Collection<RecentRun>(), [request, subscriptionKey]);
  const subscription = useMemo((): Subscription<WatchFlowExecutionsResponse> | undefined => {
    if (!isWatched) {
      return undefined;
    }
    const client = createClient(FlowExecutionService, transport);
    return {
      open: (resumeToken, signal) =>
        client.watchFlowExecutions({ ...request, changesOnly: true, resumeToken }, { signal, timeoutMs: 0 }),
      onMessage: ({ content }) => {
        if (content.case === "synced") {
          changes.sync();
        } else if (content.case === "changes" || content.case === "snapshot") {
          changes.apply(toRunChanges(content.value.flowExecutions));
        }
      },
      // What was missed is not told again, so the pages are loaded anew, below a new watch.
      onRestart: () => setSubscriptionKey((key) => key + 1),
    };
  }, [transport, request, isWatched, changes]);
  const { connection, error: watchError } = useWatch(subscription);
  const { items, isSynced } = useSyncExternalStore(changes.subscribe, changes.state);

  const { data, error, hasNextPage, isFetching, fetchNextPage, refetch } = useInfiniteQuery(
    FlowExecutionService.method.listFlowExecutions,
    { ...request, pageSize: 100, pageToken: "" },
    {
      ...byPageToken,
      // By itself only where there is nothing to watch, or as long as the watch does not come about.
      enabled: !isWatched || connection === "reconnecting",
      refetchInterval: isWatched ? false : 5000,
      staleTime: 0,
      placeholderData: keepPreviousData,
    },
  );
  // Only a list that was loaded after the watch began has no gap: so with each new watch, anew.
  // biome-ignore lint/correctness/useExhaustiveDependencies: other changes are those of a new watch
  useEffect(() => {
    if (isWatched && isSynced) {
      void refetch();
    }
  }, [isWatched, isSynced, changes, refetch]);
  const runs = useMemo(
    () =>
      data &&
      mergeRuns(
        data.pages.flatMap(({ flowExecutions }) => flowExecutions),
        items,
        !hasNextPage,
      ),
    [data, items, hasNextPage],
  );
  return {
    runs,
    error: watchError ?? error ?? undefined,
    loadMore: hasNextPage && !isFetching ? () => void fetchNextPage() : undefined,
  };
}
