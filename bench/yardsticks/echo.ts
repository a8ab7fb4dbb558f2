import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import {
  CreateTaskExecutionResponseSchema,
  GetTaskExecutionResponseSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { end, keep } from "../harness/children.ts";
import { type Ledger, openLedger } from "../harness/ledger.ts";
import { startFlags } from "../harness/service.ts";
import type { Reports } from "../scene/external-runs.ts";

/** What an echo is, for the results. */
export const aboutEcho =
  "a bare connect-node server over node:http2, in a process of its own with the same flags of Node, without " +
  "interceptors: the same request, answered with a response that the service gave.";

/** A server that does nothing but answer. */
export interface Echo extends AsyncDisposable {
  readonly ledger: Ledger;
}

/** Starts an echo of what a service answers to the creation of a record, and when it is asked for it. */
export async function startEcho(service: Ledger, reports: Reports): Promise<Echo> {
  const created = await service.tasks.createTaskExecution(reports.next(1)[0]!);
  const got = await service.tasks.getTaskExecution({
    lookup: { case: "id", value: created.taskExecution!.id },
  });
  const responses = [
    toBinary(CreateTaskExecutionResponseSchema, created),
    toBinary(GetTaskExecutionResponseSchema, got),
  ];
  const child = keep(
    fork(
      join(import.meta.dirname, "echo-server.ts"),
      responses.map((bytes) => Buffer.from(bytes).toString("base64")),
      { execArgv: await startFlags() },
    ),
  );
  const [port] = await once(child, "message");
  const ledger = openLedger(port, service.key);
  return {
    ledger,
    [Symbol.asyncDispose]: () => end(child),
  };
}
