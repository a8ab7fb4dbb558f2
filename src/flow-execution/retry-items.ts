import { addResolved, isSatisfied } from "../dispatch/advance.ts";
import { findCountingRecords } from "../dispatch/outdate.ts";
import { createResolver } from "../dispatch/resolve-inputs.ts";
import type { FlowPlan } from "../flow/flow-plan.ts";
import type { RunRecord } from "../task-execution/run-statements.ts";
import type { TaskState } from "../task-execution/task-state-statements.ts";
import type { Workspace } from "../task-execution/workspace.ts";

/**
 * Runs the failed items of loops once more, and leaves the others as they are: where nothing before the loop runs
 * once more, and its list has as many items as before. Each is asked what the definition says now.
 *
 * @returns the tasks that are left to be run as a whole
 */
export async function retryItems(
  work: Workspace,
  run: RunRecord,
  plan: FlowPlan,
  states: ReadonlyMap<string, TaskState>,
  chosen: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const downstream = plan.downstreamOf(chosen);
  const loops = [...chosen]
    .map((name) => plan.tasks.get(name)!)
    .filter(
      ({ name, forEach, dependsOn }) =>
        forEach !== undefined &&
        !downstream.has(name) &&
        !states.get(name)!.rerun &&
        dependsOn.every((upstream) => isSatisfied(states.get(upstream), plan.tasks.get(upstream))),
    );
  const whole = new Set(chosen);
  const expand = await createResolver(work, run, loops);
  for (const task of loops) {
    const counting = await findCountingRecords(work, run, plan, [task.name]);
    const expansion = expand(task);
    const isSameList = counting.every(({ iteration }) => iteration !== null);
    if (expansion.kind !== "loop" || expansion.items.length !== counting.length || !isSameList) {
      continue;
    }
    whole.delete(task.name);
    let { nextIdx: taskExecutionIdx } = states.get(task.name)!;
    for (const { id, status, iteration, generation } of counting) {
      if (status === "failed" || status === "cancelled") {
        const { name: taskName, executor } = task;
        const given = {
          taskName,
          taskExecutionIdx,
          iteration,
          generation,
          executor,
          claimRank: -run.priority,
        };
        addResolved(work, run, given, expansion.items[iteration!]!, { causeId: id });
        taskExecutionIdx++;
      }
    }
  }
  return whole;
}
