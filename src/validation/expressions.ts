import type { CreateTaskExecutionRequest as Create } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { isInOrder } from "./value-checks.ts";

/**
 * The rules of the proto files that are written in CEL, of messages that come often, by their text: one that is
 * changed there is not found here any more, and is left to the library.
 */
export const knownExpressions: Readonly<Record<string, (message: never) => boolean>> = {
  "!has(this.output) || this.status == 3": ({ output, status }: Create) => !output || status === 3,
  "!has(this.error) || this.status == 4": ({ error, status }: Create) => !error || status === 4,
  "!has(this.start_time) || this.status != 1": ({ startTime, status }: Create) => !startTime || status !== 1,
  "!has(this.end_time) || this.status > 2": ({ endTime, status }: Create) => !endTime || status > 2,
  "!has(this.start_time) || !has(this.end_time) || this.start_time <= this.end_time": ({
    startTime,
    endTime,
  }: Create) => !startTime || !endTime || isInOrder(startTime, endTime),
};
