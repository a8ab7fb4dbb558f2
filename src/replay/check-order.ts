import { TaskExecutionEvent_Type as Type } from "../../gen/taskledger/v1/task_execution_event_pb.ts";
import type { Ledger } from "../client/ledger.ts";
import { persist } from "../worker/persist.ts";

/** How many records are asked for at a time, and how many of them at once for their events. */
const pageSize = 1000;
const lanes = 16;

/** An entry of the event log of a run. */
export interface RunEvent {
  readonly taskName: string;
  readonly taskExecutionIdx: number;
  readonly revision: bigint;
  readonly type: Type;
}

/** Reads the event log of all task executions of a run, in the order of the commits. */
export async function readRunEvents({ tasks }: Ledger, flowExecutionId: string): Promise<RunEvent[]> {
  const records: { id: string; taskName: string; taskExecutionIdx: number }[] = [];
  let pageToken = "";
  do {
    const request = { flowExecutionId, pageSize, pageToken, showDeleted: true };
    const page = await persist(() => tasks.listTaskExecutions(request));
    records.push(...page.taskExecutions);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");

  const events: RunEvent[] = [];
  const left = records.values();
  const lane = async () => {
    for (const { id, taskName, taskExecutionIdx } of left) {
      const request = { id, pageSize };
      const page = await persist(() => tasks.listTaskExecutionEvents(request));
      events.push(
        ...page.events.map(({ revision, type }) => ({ taskName, taskExecutionIdx, revision, type })),
      );
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return events.sort((a, b) => (a.revision < b.revision ? -1 : 1));
}

/**
 * Checks the event log of a run that was executed once: every task completed exactly once, and none was made ready
 * or started before all its parents had completed.
 *
 * Attempts that failed or were interrupted may be among them; each has to keep the order.
 *
 * @param parents the parents of each task of the flow
 * @param events in the order of the commits
 * @returns what is wrong, in words; empty if all is well
 */
export function checkOrder(
  parents: ReadonlyMap<string, readonly string[]>,
  events: readonly RunEvent[],
): string[] {
  const wrong: string[] = [];
  const completed = new Map<string, number>();
  for (const { taskName, taskExecutionIdx, type, revision } of events) {
    const before = parents.get(taskName);
    if (before === undefined) {
      wrong.push(`${taskName} is no task of the flow`);
    } else if (type === Type.COMPLETE) {
      completed.set(taskName, (completed.get(taskName) ?? 0) + 1);
    } else if (type === Type.CREATE || type === Type.START) {
      const missing = before.find((parent) => !completed.has(parent));
      if (missing !== undefined) {
        const what = type === Type.START ? "started" : "became ready";
        wrong.push(`${taskName}/${taskExecutionIdx} ${what} at ${revision}, before ${missing} completed`);
      }
    }
  }
  for (const name of parents.keys()) {
    const times = completed.get(name) ?? 0;
    if (times !== 1) wrong.push(`${name} completed ${times} times`);
  }
  return wrong;
}
