import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import type { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { nameIn } from "../client.ts";

/** What came of creates of one key at once. */
export interface RaceResult {
  readonly ids: Set<string>;
  /** How often each outcome, or code of an error, was the answer. */
  readonly outcomes: Record<string, number>;
}

/** Creates the record "task" of a run many times at once, spread over the clients. */
export async function raceCreates(
  clients: readonly Client<typeof TaskExecutionService>[],
  flowExecutionId: string,
  calls: number,
): Promise<RaceResult> {
  const ids = new Set<string>();
  const outcomes: Record<string, number> = {};
  const count = (outcome: string) => {
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  };
  await Promise.all(
    Array.from({ length: calls }, async (_, index) => {
      const client = clients[index % clients.length]!;
      try {
        const request = { flowExecutionId, taskName: "task", status: Status.RUNNING };
        const { taskExecution, outcome } = await client.createTaskExecution(request);
        ids.add(taskExecution!.id);
        count(nameIn(Outcome, outcome)!);
      } catch (error) {
        count(Code[ConnectError.from(error).code]!);
      }
    }),
  );
  return { ids, outcomes };
}
