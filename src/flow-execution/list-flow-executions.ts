import type { EntityManager } from "@mikro-orm/postgresql";
import type { PagedList } from "../page-token/page.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import { FlowExecution } from "./flow-execution.entity.ts";

/** Which runs are asked for; all that is set must hold. */
export interface RunFilter {
  /** In lower case. */
  readonly flowId: string | undefined;
  /** In a fixed order, each once. Undefined for every status, or every one but deleted. */
  readonly statuses: readonly Status[] | undefined;
  readonly showDeleted: boolean;
}

/** Returns the list of the runs that pass a filter, newest first, without their input. */
export function flowExecutionsOf(em: EntityManager, runFilter: RunFilter): PagedList<FlowExecution> {
  const { flowId, statuses, showDeleted } = runFilter;
  const where = { ...(flowId !== undefined && { flowId }), ...(!showDeleted && { deleteTime: null }) };
  return {
    method: "ListFlowExecutions",
    filter: runFilter,
    // An index has the runs of each status, but not of several, in the order of the list.
    find: (position, limit) =>
      em.transactional(async (tx) => {
        const found: FlowExecution[] = [];
        for (const status of statuses ?? [undefined]) {
          const part = {
            ...where,
            ...(status !== undefined && { status }),
            ...(position !== undefined && { id: { $lt: position } }),
          };
          found.push(...(await tx.find(FlowExecution, part, { orderBy: { id: "desc" }, limit })));
        }
        return found.sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit);
      }),
    positionOf: ({ id }) => id,
    // The JSON of the labels, which on the wire take two bytes more each, and room for the rest.
    bytesOf: ({ labels, modifiedBy }) => Buffer.byteLength(labels) + Buffer.byteLength(modifiedBy) + 512,
  };
}
