import type { ServiceImpl } from "@connectrpc/connect";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { recheckOf } from "../auth/authentication-interceptor.ts";
import { callerOf } from "../auth/caller.ts";
import { arrivalsOf } from "../server/arrivals.ts";
import { requestIdOf } from "../server/request-id.ts";
import { type IngestDeps, ingest } from "./ingest.ts";

/** The method that takes a stream of reports. */
export function ingestMethods(
  deps: IngestDeps,
): Pick<ServiceImpl<typeof TaskExecutionService>, "ingestTaskExecutions"> {
  return {
    ingestTaskExecutions(requests, ctx) {
      const author = { caller: callerOf(ctx), requestId: requestIdOf(ctx) };
      const arrivals = arrivalsOf(TaskExecutionService.method.ingestTaskExecutions, requests, ctx);
      return ingest(deps, { author, signal: ctx.signal, recheck: recheckOf(ctx) }, arrivals);
    },
  };
}
