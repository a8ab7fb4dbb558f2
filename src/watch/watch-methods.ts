import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { recheckOf } from "../auth/authentication-interceptor.ts";
import { callerOf } from "../auth/caller.ts";
import { emOf } from "../db/em.ts";
import type { FlowExecution } from "../flow-execution/flow-execution.entity.ts";
import { toFlowExecutionMessage } from "../flow-execution/flow-execution.message.ts";
import { findRun } from "../flow-execution/flow-execution-service.ts";
import { isOpen, type Status } from "../task-execution/lifecycle.ts";
import { getRecord } from "../task-execution/read-path.ts";
import { isEnded } from "../task-execution/run-status.ts";
import { toFoundMessage } from "../task-execution/task-lease.message.ts";
import type { PayloadCache } from "./payload-cache.ts";
import { createRunWatch } from "./run-watch.ts";
import { createTaskWatch } from "./task-watch.ts";
import { type WaitDeps, waitForEnd } from "./wait.ts";
import { type WatchCall, type WatchDeps, watch } from "./watch.ts";

/** What the methods that watch and wait take from outside. */
export interface Watching extends WatchDeps, WaitDeps {
  readonly payloads: PayloadCache;
}

/** The methods that watch task executions, or wait for one. */
export function taskWatchMethods(
  watching: Watching,
): Pick<ServiceImpl<typeof TaskExecutionService>, "waitTaskExecution" | "watchTaskExecutions"> {
  const { payloads, feeds } = watching;
  return {
    async waitTaskExecution({ id, wait }, ctx) {
      const hasEnded = ({ status }: { readonly status: Status }) => !isOpen(status);
      const record = await waitForEnd<Awaited<ReturnType<typeof getRecord>>>(watching, ctx, {
        wait,
        look: () => getRecord(emOf(ctx), { id }),
        hasEnded,
        concerns: ({ task }) => task?.state.id === id.toLowerCase(),
      });
      return { taskExecution: toFoundMessage(record), ended: hasEnded(record) };
    },

    watchTaskExecutions(request, ctx) {
      const { organizationId } = callerOf(ctx);
      const kind = createTaskWatch({ organizationId, payloads, limits: feeds.limits }, request);
      return watch(watching, toWatchCall(ctx, request), kind);
    },
  };
}

/** The methods that watch runs, or wait for one. */
export function runWatchMethods(
  watching: Watching,
): Pick<ServiceImpl<typeof FlowExecutionService>, "waitFlowExecution" | "watchFlowExecutions"> {
  return {
    async waitFlowExecution({ id, wait }, ctx) {
      const hasEnded = ({ status }: { readonly status: Status }) => status === "deleted" || isEnded(status);
      const run = await waitForEnd<FlowExecution>(watching, ctx, {
        wait,
        look: () => findRun(emOf(ctx), id),
        hasEnded,
        concerns: (entry) => entry.run?.state.id === id.toLowerCase(),
      });
      return { flowExecution: toFlowExecutionMessage(run), ended: hasEnded(run) };
    },

    watchFlowExecutions(request, ctx) {
      const { organizationId } = callerOf(ctx);
      const kind = createRunWatch({ organizationId, limits: watching.feeds.limits }, request);
      return watch(watching, toWatchCall(ctx, request), kind);
    },
  };
}

function toWatchCall(
  ctx: HandlerContext,
  { resumeToken, changesOnly }: Pick<WatchCall, "resumeToken" | "changesOnly">,
): WatchCall {
  const isJson = /json/.test(ctx.requestHeader.get("content-type") ?? "");
  const { signal } = ctx;
  return { caller: callerOf(ctx), signal, recheck: recheckOf(ctx), resumeToken, changesOnly, isJson };
}
