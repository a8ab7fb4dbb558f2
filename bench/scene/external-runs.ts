import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  FlowExecution_Dispatch as Dispatch,
  type FlowExecution,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  type CreateTaskExecutionRequest,
  CreateTaskExecutionRequestSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { Ledger } from "../harness/ledger.ts";
import { inputValue, outputValue } from "./payload.ts";

/** Over how many runs records are spread. */
export const spread = 200;

const taskName = "load";

/** Creates runs that an outside engine drives, which only records what its tasks do. */
export async function createExternalRuns({ flows, runs }: Ledger, count: number): Promise<FlowExecution[]> {
  const definition = JSON.stringify({ name: `bench ${randomUUID()}`, tasks: [{ name: taskName }] });
  const { flow } = await flows.createFlow({ definition });
  const created: FlowExecution[] = [];
  while (created.length < count) {
    const request = { flowId: flow!.id, requestId: randomUUID(), dispatch: Dispatch.EXTERNAL };
    created.push((await runs.createFlowExecution(request)).flowExecution!);
  }
  return created;
}

/** Makes requests for new, completed records, in turn for each of some runs. */
export class Reports {
  readonly #runs: readonly { readonly id: string; next: number }[];
  #turn = 0;

  constructor(runs: readonly FlowExecution[]) {
    this.#runs = runs.map(({ id }) => ({ id, next: 0 }));
  }

  /** Returns requests for records of one run, of the next one each time. */
  next(count: number): CreateTaskExecutionRequest[] {
    const run = this.#runs[this.#turn++ % this.#runs.length]!;
    return Array.from({ length: count }, () => {
      // Its fields are set on it, because `create` looks through all that it is given.
      const request = create(CreateTaskExecutionRequestSchema);
      request.flowExecutionId = run.id;
      request.taskName = taskName;
      request.taskExecutionIdx = run.next++;
      request.status = Status.COMPLETED;
      request.input = inputValue;
      request.output = outputValue;
      return request;
    });
  }
}

/** Creates one record, and makes sure that it is new. Returns how many that were. */
export async function createOne({ tasks }: Ledger, reports: Reports): Promise<number> {
  const { outcome } = await tasks.createTaskExecution(reports.next(1)[0]!);
  if (outcome !== Outcome.CREATED) throw new Error(`a record was there already: ${outcome}`);
  return 1;
}

/** Creates records with one call, and makes sure that all are new. Returns their ids. */
export async function createBatch({ tasks }: Ledger, reports: Reports, size: number): Promise<string[]> {
  const { results } = await tasks.batchCreateTaskExecutions({ requests: reports.next(size) });
  return results.map(({ result }) => {
    if (result.case !== "response" || result.value.outcome !== Outcome.CREATED) {
      throw new Error(`a record was not created: ${JSON.stringify(result)}`);
    }
    return result.value.taskExecution!.id;
  });
}

/** Gets one of some records, at random. Returns how many that were. */
export async function getOne({ tasks }: Ledger, ids: readonly string[]): Promise<number> {
  const id = ids[Math.floor(Math.random() * ids.length)]!;
  await tasks.getTaskExecution({ lookup: { case: "id", value: id } });
  return 1;
}
