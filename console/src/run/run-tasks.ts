import { createClient } from "@connectrpc/connect";
import { useMemo, useSyncExternalStore } from "react";
import type { FlowExecution } from "../../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  FlowExecutionService,
  type WatchFlowExecutionsResponse,
} from "../../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { TaskExecution } from "../../../gen/taskledger/v1/task_execution_pb.ts";
import {
  type TaskExecutionChange,
  TaskExecutionService,
  type WatchTaskExecutionsResponse,
} from "../../../gen/taskledger/v1/task_execution_service_pb.ts";
import { Collection, type CollectionState } from "../live/collection.ts";
import { type Subscription, useWatch } from "../live/use-watch.ts";
import { useAccount } from "../session/account.tsx";

/** What is watched of a run. */
export interface Watched<Item> extends CollectionState<Item> {
  readonly error: unknown;
}

/**
 * Watches the task executions of a run, of one task or of all, without payloads.
 *
 * @param runId empty to watch nothing yet
 */
export function useRunTasks(runId: string, taskName = ""): Watched<TaskExecution> {
  const { transport } = useAccount();
  const [collection, subscription] = useMemo(() => {
    const collection = new Collection<TaskExecution>();
    const client = createClient(TaskExecutionService, transport);
    const subscription: Subscription<WatchTaskExecutionsResponse> = {
      open: (resumeToken, signal) =>
        client.watchTaskExecutions(
          { flowExecutionId: runId, taskName, resumeToken },
          { signal, timeoutMs: 0 },
        ),
      onRestart: () => collection.restart(),
      onMessage: ({ content }) => {
        switch (content.case) {
          case "snapshot":
          case "changes":
            applyTasks(collection, content.value.taskExecutions);
            break;
          case "synced":
            collection.sync();
        }
      },
    };
    return [collection, subscription];
  }, [transport, runId, taskName]);
  const { error } = useWatch(runId === "" ? undefined : subscription);
  return { ...useSyncExternalStore(collection.subscribe, collection.state), error };
}

function applyTasks(collection: Collection<TaskExecution>, changes: readonly TaskExecutionChange[]): void {
  for (const { change } of changes) {
    if (change.case === "taskExecution") {
      collection.apply([{ id: change.value.id, item: change.value }]);
    } else if (change.case === "removed" && change.value.id !== "") {
      collection.apply([{ id: change.value.id, item: undefined }]);
    } else if (change.case === "removed") {
      collection.removeAll();
    }
  }
}

/** Watches one run, without its input. Undefined until it is there. */
export function useRun(runId: string): { readonly run: FlowExecution | undefined; readonly error: unknown } {
  const { transport } = useAccount();
  const [collection, subscription] = useMemo(() => {
    const collection = new Collection<FlowExecution>();
    const client = createClient(FlowExecutionService, transport);
    const subscription: Subscription<WatchFlowExecutionsResponse> = {
      open: (resumeToken, signal) =>
        client.watchFlowExecutions({ id: runId, resumeToken }, { signal, timeoutMs: 0 }),
      onRestart: () => collection.restart(),
      onMessage: ({ content }) => {
        switch (content.case) {
          case "snapshot":
          case "changes":
            for (const { change } of content.value.flowExecutions) {
              if (change.case === "flowExecution") {
                collection.apply([{ id: runId, item: change.value }]);
              }
            }
            break;
          case "end":
            // A run that is deleted has left the watch, but not this page.
            collection.apply([{ id: runId, item: content.value.flowExecution }]);
            collection.sync();
            break;
          case "synced":
            collection.sync();
        }
      },
    };
    return [collection, subscription];
  }, [transport, runId]);
  const { error } = useWatch(subscription);
  const { items } = useSyncExternalStore(collection.subscribe, collection.state);
  return { run: items[0], error };
}
