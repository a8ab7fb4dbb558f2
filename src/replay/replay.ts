import { setTimeout as sleep } from "node:timers/promises";
import {
  FlowExecution_Status as Status,
  FlowExecution_StatusSchema as StatusSchema,
} from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { type Ledger, provideFlow, startRun } from "../client/ledger.ts";
import type { Recording } from "../import/recording.ts";
import { persist } from "../worker/persist.ts";
import { checkOrder, readRunEvents } from "./check-order.ts";
import { type Figures, type Fleet, startFleet } from "./fleet.ts";
import { replayDefinitionOf } from "./replay-definition.ts";

/** How often is looked whether the run has ended. */
const lookMs = 50;

/** How a recording is played. */
export interface ReplayOptions {
  /** How many worker processes, and how many tasks each does at the same time. */
  readonly workers: number;
  readonly concurrency: number;
  /** By how much time is scaled: 0 for none. */
  readonly scale: number;
  /** Is told now and then how many tasks have completed. */
  readonly onProgress: (completed: number) => void;
}

/** What came of it. */
export interface ReplayResult {
  readonly flowExecutionId: string;
  readonly status: Status;
  readonly tasks: number;
  /** From the start of the run to its end. */
  readonly seconds: number;
  readonly figures: Figures;
  /** What is wrong by the event log, in words. */
  readonly wrong: readonly string[];
}

/** Plays a recording as a run that drives itself, with worker processes, and checks it by the event log. */
export async function replay(
  ledger: Ledger,
  recording: Recording,
  { workers, concurrency, scale, onProgress }: ReplayOptions,
): Promise<ReplayResult> {
  const tasks = recording.levels.flat();
  const { name, definition } = replayDefinitionOf(recording);
  const flow = await provideFlow(ledger, name, definition);
  let status: Status;
  let id: string;
  let seconds: number;
  let figures: Figures;
  {
    await using fleet = await startFleet(ledger.address, { workers, concurrency });
    const begin = performance.now();
    ({ id } = await startRun(ledger, flow, { scale }));
    status = await Promise.race([untilEnded(ledger, id, fleet, onProgress), fleet.failed]);
    seconds = (performance.now() - begin) / 1000;
    await fleet[Symbol.asyncDispose]();
    figures = fleet.figures();
  }
  const parents = new Map(tasks.map((task) => [task.id, task.parents]));
  const wrong = checkOrder(parents, await readRunEvents(ledger, id));
  if (status !== Status.COMPLETED) wrong.unshift(`the run ended as ${StatusSchema.value[status]?.name}`);
  return { flowExecutionId: id, status, tasks: tasks.length, seconds, figures, wrong };
}

async function untilEnded(
  { runs }: Ledger,
  id: string,
  fleet: Fleet,
  onProgress: (completed: number) => void,
): Promise<Status> {
  const open = new Set<Status>([Status.QUEUED, Status.RUNNING]);
  for (;;) {
    const { flowExecution } = await persist(() => runs.getFlowExecution({ id }));
    onProgress(fleet.figures().completed);
    if (!open.has(flowExecution!.status)) return flowExecution!.status;
    await sleep(lookMs);
  }
}
