import { findCountingRecords } from "../dispatch/outdate.ts";
import type { FlowPlan } from "../flow/flow-plan.ts";
import { newRecord } from "../task-execution/new-record.ts";
import { findWithInput } from "../task-execution/record-statements.ts";
import type { RunRecord } from "../task-execution/run-statements.ts";
import type { Workspace } from "../task-execution/workspace.ts";

/**
 * Runs the failed items of loops once more, and leaves the others as they are: where the list is as it was.
 *
 * @param chosen the tasks of which only what failed is asked for
 * @returns the tasks that are left to be run as a whole
 */
export async function retryItems(
  work: Workspace,
  run: RunRecord,
  plan: FlowPlan,
  chosen: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const downstream = plan.downstreamOf(chosen);
  const loops = [...chosen].filter(
    (name) => plan.tasks.get(name)!.forEach !== undefined && !downstream.has(name),
  );
  const whole = new Set(chosen);
  for (const name of loops) {
    const counting = await findCountingRecords(work, run, plan, [name]);
    const ended = counting.filter(({ status }) => status === "failed" || status === "cancelled");
    if (ended.some(({ iteration }) => iteration === null)) {
      // The list itself could not be made.
      continue;
    }
    whole.delete(name);
    const asked = await findWithInput(
      work.em,
      work.organizationId,
      ended.map(({ id }) => id),
    );
    const firstIdx = await work.nextIdx(run, name);
    for (const [index, { id, iteration, generation, executor, claimRank, input }] of asked.entries()) {
      const retry = newRecord(work, run, {
        taskName: name,
        taskExecutionIdx: firstIdx + index,
        status: "queued",
        input: input ?? null,
        iteration,
        generation,
        executor,
        claimRank,
      });
      work.add(retry, retry.input === null ? [] : ["input"], { causeId: id });
    }
  }
  return whole;
}
