import type { DescMethod } from "@bufbuild/protobuf";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";

/** The streaming methods that are told of a shutdown themselves, because they have something to say before they end. */
const selfEndingMethods: ReadonlySet<DescMethod> = new Set([
  TaskExecutionService.method.ingestTaskExecutions,
]);

/** Reports whether the streams of a method end by themselves when the server shuts down. */
export function endsItself(method: DescMethod): boolean {
  return selfEndingMethods.has(method);
}
