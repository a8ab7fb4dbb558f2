import { type Client, createClient } from "@connectrpc/connect";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { createGrpcTransport } from "./grpc-transport.ts";

/** A server as its clients see it: gRPC over one HTTP/2 connection. */
export interface Ledger {
  readonly key: string;
  readonly flows: Client<typeof FlowService>;
  readonly runs: Client<typeof FlowExecutionService>;
  readonly tasks: Client<typeof TaskExecutionService>;
  readonly workers: Client<typeof WorkerService>;
}

/** Returns clients for the server at a port, signed in with a key. */
export function openLedger(port: number, key: string): Ledger {
  const transport = createGrpcTransport(`127.0.0.1:${port}`, key);
  return {
    key,
    flows: createClient(FlowService, transport),
    runs: createClient(FlowExecutionService, transport),
    tasks: createClient(TaskExecutionService, transport),
    workers: createClient(WorkerService, transport),
  };
}
