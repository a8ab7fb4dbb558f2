import { create } from "@bufbuild/protobuf";
import {
  type TaskExecutionChange,
  TaskExecutionChangeSchema,
  type WatchTaskExecutionsRequest,
  type WatchTaskExecutionsResponse,
  WatchTaskExecutionsResponseSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { View } from "../../gen/taskledger/v1/view_pb.ts";
import { WatchRemoval } from "../../gen/taskledger/v1/watch_pb.ts";
import { toPbType } from "../task-execution/event.message.ts";
import { fromPbStatus, toTaskExecutionMessage } from "../task-execution/task-execution.message.ts";
import type { FeedEntry, WatchedTask } from "./feed-statements.ts";
import type { PayloadCache, Payloads } from "./payload-cache.ts";
import { findTasks } from "./snapshot-statements.ts";
import { toContent, toRemoval } from "./watch.message.ts";
import { type Picked, pageOf, showsStatus, type WatchKind } from "./watch-kind.ts";
import type { WatchLimits } from "./watch-limits.ts";

/** A record that is told, or that is told to be gone. */
type Item = Pick<TaskExecutionChange, "revision" | "type"> &
  ({ readonly task: WatchedTask } | { readonly removed: Removed });

interface Removed {
  readonly id: string;
  readonly flowExecutionId: string;
  readonly reason: WatchRemoval;
}

type TaskWatch = WatchKind<Item, TaskExecutionChange, WatchTaskExecutionsResponse>;

/** What watches of task executions take from outside. */
export interface TaskWatchDeps {
  readonly organizationId: string;
  readonly payloads: PayloadCache;
  readonly limits: WatchLimits;
}

/** Returns the watch that a request asks for. */
export function createTaskWatch(deps: TaskWatchDeps, request: WatchTaskExecutionsRequest): TaskWatch {
  const { organizationId, payloads, limits } = deps;
  const flowExecutionId = request.flowExecutionId.toLowerCase() || undefined;
  const flowId = request.flowId.toLowerCase() || undefined;
  const taskName = request.taskName || undefined;
  const statuses = request.statuses.map(fromPbStatus).sort();
  const filter = { flowExecutionId, flowId, taskName, statuses };
  const isFull = request.view === View.FULL;
  const shows = showsStatus(statuses);
  const hasPayloads = ({ payloadBytes }: WatchedTask) =>
    isFull && payloadBytes > 0 && payloadBytes <= limits.payloadBytes;
  const bytesOf = (task: WatchedTask) =>
    400 +
    task.tags.reduce((sum, { tag, metadata }) => sum + tag.length + metadata.length, 0) +
    (hasPayloads(task) ? task.payloadBytes : 0);

  function pickRun({ flowExecutionId: run, revision, run: changed, isHidden }: FeedEntry): Item[] {
    const isGone = isHidden && changed !== undefined && !changed.isSuperseded;
    const removed = { id: "", flowExecutionId: run, reason: WatchRemoval.FLOW_EXECUTION_DELETED };
    return isGone ? [{ removed, revision, type: 0 }] : [];
  }

  function pickTask({ task, isHidden, revision, type }: FeedEntry): Item[] {
    if (task === undefined || isHidden || (taskName !== undefined && task.state.taskName !== taskName)) {
      return [];
    }
    const { state, isSuperseded, before } = task;
    if (shows(state.status)) {
      return isSuperseded ? [] : [{ task: state, revision, type: toPbType(type) }];
    }
    if (!before.some(shows)) {
      return [];
    }
    const removed = { id: state.id, flowExecutionId: state.flowExecutionId, reason: toRemoval(state.status) };
    return [{ removed, revision, type: toPbType(type) }];
  }

  return {
    desc: WatchTaskExecutionsResponseSchema,
    scope: { method: "WatchTaskExecutions", filter },
    key: JSON.stringify(["tasks", filter, isFull]),
    runId: flowExecutionId,
    flowId,

    pick(entry): Picked<Item> | "resync" | undefined {
      if (
        (flowExecutionId !== undefined && entry.flowExecutionId !== flowExecutionId) ||
        (flowId !== undefined && entry.flowId !== flowId)
      ) {
        return undefined;
      }
      if (entry.undeleted && !entry.isHidden) {
        return "resync";
      }
      const items = [...pickTask(entry), ...pickRun(entry)];
      const bytes = items.reduce((sum, item) => sum + ("task" in item ? bytesOf(item.task) : 150), 0);
      return items.length === 0 ? undefined : { items, bytes };
    },

    async readSnapshot(em, places, after) {
      const most = limits.changesPerMessage;
      const page = { places, after, most };
      const found = await findTasks(em, organizationId, { ...filter, showDeleted: false }, page);
      const room = { after, most, bytes: limits.messageBytes };
      return pageOf(found, room, bytesOf, (task, revision): Item => ({ task, revision, type: 0 }));
    },

    async toChanges(items, read) {
      const wanted = items.flatMap((item) => ("task" in item && hasPayloads(item.task) ? [item.task] : []));
      const versions = wanted.map(({ id, etag }) => ({ id, etag }));
      const loaded: ReadonlyMap<string, Payloads> =
        versions.length === 0 ? new Map() : await read((em) => payloads.load(em, organizationId, versions));
      return items.flatMap((item): TaskExecutionChange[] => {
        const { revision, type } = item;
        if ("removed" in item) {
          const change = { case: "removed" as const, value: item.removed };
          return [create(TaskExecutionChangeSchema, { change, revision, type })];
        }
        const { task } = item;
        const own = loaded.get(task.id);
        if (own === undefined && hasPayloads(task)) {
          return [];
        }
        const value = toTaskExecutionMessage({ ...task, ...own });
        const change = { case: "taskExecution" as const, value };
        const payloadsOmitted = isFull && task.payloadBytes > limits.payloadBytes;
        return [create(TaskExecutionChangeSchema, { change, revision, type, payloadsOmitted })];
      });
    },

    toResponse: (resumeToken, told) =>
      create(WatchTaskExecutionsResponseSchema, {
        resumeToken,
        content: toContent(told, (taskExecutions) => ({ taskExecutions })),
      }),
  };
}
