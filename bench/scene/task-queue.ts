import { randomUUID } from "node:crypto";
import { fromJson, type JsonObject } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import type { ClaimedTaskExecution } from "../../gen/taskledger/v1/worker_service_pb.ts";
import type { Ledger } from "../harness/ledger.ts";
import { input, outputValue } from "./payload.ts";

const executor = "bench";

/** How many tasks one run has: a loop over as many items. */
const itemsPerRun = 1000;

/** How many tasks a worker claims and reports at once. */
export const claimSize = 50;

/** Tasks of managed runs, which workers claim and report. */
export class TaskQueue {
  readonly #ledger: Ledger;
  readonly #flowId: string;
  /** What each worker holds. Kept from one run of a contender to the next, so that nothing is left to expire. */
  readonly #held: ClaimedTaskExecution[][] = [];
  #unclaimed = 0;

  private constructor(ledger: Ledger, flowId: string) {
    this.#ledger = ledger;
    this.#flowId = flowId;
  }

  /** Creates the flow whose runs make the tasks. */
  static async create(ledger: Ledger): Promise<TaskQueue> {
    const task = {
      name: "load",
      executor,
      for_each: "{{input}}",
      input: { ...input, limit: "{{item}}" },
      lease: "1h",
    };
    const definition = JSON.stringify({ name: `bench ${randomUUID()}`, tasks: [task] });
    const { flow } = await ledger.flows.createFlow({ definition });
    return new TaskQueue(ledger, flow!.id);
  }

  /** Starts runs until so many tasks wait for a worker. */
  async fill(tasks: number): Promise<void> {
    const items: JsonObject[keyof JsonObject] = Array.from({ length: itemsPerRun }, (_, index) => index);
    while (this.#unclaimed < tasks) {
      await this.#ledger.runs.createFlowExecution({
        flowId: this.#flowId,
        requestId: randomUUID(),
        dispatch: Dispatch.MANAGED,
        input: fromJson(ValueSchema, items),
      });
      this.#unclaimed += itemsPerRun;
    }
  }

  /** Has a worker report all it holds and claim as many, with one call. Returns how many tasks it has reported. */
  async work(worker: number): Promise<number> {
    const held = this.#held[worker] ?? [];
    const claim = {
      executors: [executor],
      maxTaskExecutions: claimSize,
      workerId: `worker-${worker}`,
      requestId: randomUUID(),
    };
    const { workers } = this.#ledger;
    if (held.length === 0) {
      this.#take(worker, (await workers.claimTaskExecutions({ ...claim, wait: { seconds: 10n } })).claimed);
      return 0;
    }
    const reports = held.map(({ taskExecution, token }) => ({
      id: taskExecution!.id,
      token,
      result: { case: "completed" as const, value: { output: outputValue } },
    }));
    const { results, claimed } = await workers.reportTaskExecutions({ reports, claim });
    for (const { result } of results) {
      if (result.case !== "accepted") throw new Error(`a report was refused: ${JSON.stringify(result)}`);
    }
    this.#take(worker, claimed);
    return reports.length;
  }

  #take(worker: number, claimed: ClaimedTaskExecution[]): void {
    this.#held[worker] = claimed;
    this.#unclaimed -= claimed.length;
    if (this.#unclaimed <= 0) throw new Error("there are no more tasks to claim");
  }
}
