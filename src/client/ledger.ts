import { randomUUID } from "node:crypto";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  FlowExecution_Dispatch as Dispatch,
  type FlowExecution,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { Flow } from "../../gen/taskledger/v1/flow_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { connect } from "../worker/connect.ts";
import { findKey } from "./bootstrap-key.ts";

/** Where the service is, and the secret of an API key. */
export interface Address {
  readonly url: string;
  readonly key: string;
}

/** The service as commands use it, signed in. */
export interface Ledger {
  readonly address: Address;
  readonly transport: Transport;
  readonly flows: Client<typeof FlowService>;
  readonly runs: Client<typeof FlowExecutionService>;
  readonly tasks: Client<typeof TaskExecutionService>;
}

/** Returns the service that the environment says: TASKLEDGER_URL and TASKLEDGER_KEY, else the one on this machine. */
export function findAddress(): Address {
  return { url: process.env["TASKLEDGER_URL"] || "http://127.0.0.1:8080", key: findKey() };
}

/** Returns clients for a service. */
export function openLedger(address: Address): Ledger {
  const transport = connect(address.url, address.key);
  return {
    address,
    transport,
    flows: createClient(FlowService, transport),
    runs: createClient(FlowExecutionService, transport),
    tasks: createClient(TaskExecutionService, transport),
  };
}

/** Makes sure that there is a flow with this definition: as it is, as a new version, or as a new flow. */
export async function provideFlow({ flows }: Ledger, name: string, definition: string): Promise<Flow> {
  try {
    return (await flows.createFlow({ definition })).flow!;
  } catch (error) {
    if (ConnectError.from(error).code !== Code.AlreadyExists) throw error;
  }
  const { flow } = await flows.getFlow({ lookup: { case: "name", value: name } });
  return (await flows.updateFlow({ id: flow!.id, etag: flow!.etag, definition })).flow!;
}

/** Starts a run of a flow that drives itself. */
export async function startRun({ runs }: Ledger, flow: Flow, input: JsonValue): Promise<FlowExecution> {
  const { flowExecution } = await runs.createFlowExecution({
    flowId: flow.id,
    flowVersion: flow.version,
    requestId: randomUUID(),
    dispatch: Dispatch.MANAGED,
    input: fromJson(ValueSchema, input),
  });
  return flowExecution!;
}
