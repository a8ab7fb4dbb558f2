import { create } from "@bufbuild/protobuf";
import {
  type FlowExecutionChange,
  FlowExecutionChangeSchema,
  type WatchFlowExecutionsRequest,
  type WatchFlowExecutionsResponse,
  WatchFlowExecutionsResponseSchema,
} from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { WatchRemoval } from "../../gen/taskledger/v1/watch_pb.ts";
import {
  fromPbStatus,
  type RunView,
  toFlowExecutionMessage,
} from "../flow-execution/flow-execution.message.ts";
import { findRuns } from "./snapshot-statements.ts";
import { toContent, toRemoval } from "./watch.message.ts";
import { pageOf, showsStatus, type WatchKind } from "./watch-kind.ts";
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
  const shows = showsStatus(statuses);

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
      return { items: [{ run: state, revision, removal: toRemoval(state.status) }], bytes: 100 };
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
      create(WatchFlowExecutionsResponseSchema, {
        resumeToken,
        content: toContent(told, (flowExecutions) => ({ flowExecutions })),
      }),
  };
}

function bytesOf({ labels }: RunView): number {
  return 400 + labels.length;
}
