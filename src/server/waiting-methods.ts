import type { DescMethod } from "@bufbuild/protobuf";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";

/** The unary methods that may wait long for something to happen, and do nothing meanwhile. */
const waitingMethods: ReadonlySet<DescMethod> = new Set([WorkerService.method.claimTaskExecutions]);

/** Reports whether a method may wait long. It has more time than others, and is counted with the streams. */
export function isWaiting(method: DescMethod): boolean {
  return waitingMethods.has(method);
}
