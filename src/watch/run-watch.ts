import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type FlowExecutionChange,
  FlowExecutionChangeSchema,
  type WatchFlowExecutionsRequest,
  type WatchFlowExecutionsResponse,
  WatchFlowExecutionsResponseSchema,
} from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { WatchRemoval } from "../../gen/taskledger/v1/watch_pb.ts";
import {
  fromPbStatus,
  type RunView,
  toFlowExecutionMessage,
} from "../flow-execution/flow-execution.message.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import { findRuns } from "./snapshot-statements.ts";
import { toResyncMessage } from "./watch.message.ts";
import { pageOf, type Told, type WatchKind } from "./watch-kind.ts";
import type { WatchLimits } from "./watch-limits.ts";

/** A run that is told, or that is told to be gone. */
interface Item {
  readonly run: RunView;
  readonly revision: bigint;
  readonly removal: WatchRemoval | undefined;
}

type RunWatch = WatchKind<Item, FlowExecutionChange, WatchFlowExecutionsResponse>;

/** Returns the watch that a request asks for. */
export function createRunWatch(
  { organizationId, limits }: { readonly organizationId: string; readonly limits: WatchLimits },
  request: WatchFlowExecutionsRequest,
): RunWatch {
  const id = request.id.toLowerCase() || undefined;
  const flowId = request.flowId.toLowerCase() || undefined;
  const statuses = request.statuses.map(fromPbStatus).sort();
  const filter = { id, flowId, statuses };
  const shows = (status: Status) =>
    status !== "deleted" && (statuses.length === 0 || statuses.includes(status));

  return {
    desc: WatchFlowExecutionsResponseSchema,
    scope: { method: "WatchFlowExecutions", filter },
    key: JSON.stringify(["runs", filter]),
    runId: id,
    flowId,

    pick({ flowExecutionId, flowId: flow, run, revision }) {
      if (
        run === undefined ||
        (id !== undefined && flowExecutionId !== id) ||
        (flowId !== undefined && flow !== flowId)
      ) {
        return undefined;
      }
      const { state, isSuperseded, before } = run;
      if (shows(state.status)) {
        const items = [{ run: state, revision, removal: undefined }];
        return isSuperseded ? undefined : { items, bytes: bytesOf(state) };
      }
      if (!before.some(shows)) {
        return undefined;
      }
      const removal = state.status === "deleted" ? WatchRemoval.DELETED : WatchRemoval.LEFT_FILTER;
      return { items: [{ run: state, revision, removal }], bytes: 100 };
    },

    async readSnapshot(em, places, after) {
      const most = limits.changesPerMessage;
      const found = await findRuns(em, organizationId, filter, { places, after, most });
      const room = { after, most, bytes: limits.messageBytes };
      return pageOf(found, room, bytesOf, (run, revision) => ({ run, revision, removal: undefined }));
    },

    toChanges: (items) =>
      Promise.resolve(
        items.map(({ run, revision, removal }) =>
          create(FlowExecutionChangeSchema, {
            revision,
            change:
              removal === undefined
                ? { case: "flowExecution", value: toFlowExecutionMessage(run) }
                : { case: "removed", value: { id: run.id, reason: removal } },
          }),
        ),
      ),

    toResponse: (resumeToken, told) =>
      create(WatchFlowExecutionsResponseSchema, { resumeToken, content: toContent(told) }),
  };
}

function bytesOf({ labels }: RunView): number {
  return 400 + labels.length;
}

function toContent(
  told: Told<FlowExecutionChange>,
): NonNullable<MessageInitShape<typeof WatchFlowExecutionsResponseSchema>["content"]> {
  switch (told.case) {
    case "snapshot":
    case "changes":
      return { case: told.case, value: { flowExecutions: told.changes } };
    case "synced":
    case "keepalive":
      return { case: told.case, value: {} };
    case "resync":
      return { case: told.case, value: toResyncMessage(told.reason) };
    case "end":
      return { case: told.case, value: { flowExecution: toFlowExecutionMessage(told.run) } };
  }
}
