import type { DescMethod } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import type { Limits } from "./limits.ts";

/** How long before the deadline of its call a wait ends, so that the answer still arrives. */
const answerMs = 500;

/** The unary methods that may wait long for something to happen, and do nothing meanwhile. */
const waitingMethods: ReadonlySet<DescMethod> = new Set([
  WorkerService.method.claimTaskExecutions,
  TaskExecutionService.method.waitTaskExecution,
  FlowExecutionService.method.waitFlowExecution,
]);

/** Reports whether a method may wait long. It has more time than others, and is counted with the streams. */
export function isWaiting(method: DescMethod): boolean {
  return waitingMethods.has(method);
}

/** Returns the deadline of a unary call that sets none, in milliseconds. */
export function defaultTimeoutOf(
  method: DescMethod,
  { waitingTimeoutMs, defaultTimeoutMs }: Pick<Limits, "waitingTimeoutMs" | "defaultTimeoutMs">,
): number {
  return isWaiting(method) ? waitingTimeoutMs : defaultTimeoutMs;
}

/** Returns for how many milliseconds a call waits that may wait so long: not beyond its deadline, and none if it is near. */
export function waitMsOf(ctx: Pick<HandlerContext, "timeoutMs">, askedMs: number): number {
  return Math.min(askedMs, (ctx.timeoutMs() ?? Number.POSITIVE_INFINITY) - answerMs);
}
