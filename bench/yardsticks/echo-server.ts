import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  CreateTaskExecutionResponseSchema,
  GetTaskExecutionResponseSchema,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";

// The least that a server can do: takes the request apart, and answers the response that it was given at the start.
const [created, got] = process.argv.slice(2).map((text) => Buffer.from(text, "base64"));
const createResponse = fromBinary(CreateTaskExecutionResponseSchema, created!);
const getResponse = fromBinary(GetTaskExecutionResponseSchema, got!);

const server = createServer(
  connectNodeAdapter({
    routes: (router) =>
      router.service(TaskExecutionService, {
        createTaskExecution: () => createResponse,
        getTaskExecution: () => getResponse,
      }),
  }),
);
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.on("disconnect", () => process.exit());
