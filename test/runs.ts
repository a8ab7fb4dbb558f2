import { randomUUID } from "node:crypto";
import type { MikroORM } from "@mikro-orm/postgresql";
import { forOrganization } from "../src/db/organization.ts";
import { Flow } from "../src/flow/flow.entity.ts";
import { FlowVersion } from "../src/flow/flow-version.entity.ts";
import { FlowExecution } from "../src/flow-execution/flow-execution.entity.ts";

/** A run of a flow of its own. */
export interface GivenRun {
  readonly flowId: string;
  readonly flowExecutionId: string;
}

/** Stores a flow with the named tasks and a run of it that has no records yet. */
export async function givenRun(
  orm: MikroORM,
  organizationId: string,
  tasks: readonly string[],
): Promise<GivenRun> {
  const em = forOrganization(orm, organizationId);
  const [flowId, flowExecutionId] = [randomUUID(), randomUUID()];
  const name = `flow ${flowId}`;
  const times = { createTime: new Date(), updateTime: new Date() };
  const definitions = JSON.stringify(tasks.map((task) => ({ name: task, executor: task, dependsOn: [] })));
  const common = { organizationId, name, description: "", modifiedBy: "system" };
  em.create(Flow, { ...common, ...times, id: flowId, version: 1, runCount: 1, etag: 1 });
  await em.flush();
  em.create(FlowVersion, {
    ...common,
    flowId,
    version: 1,
    definition: "-",
    tasks: definitions,
    createTime: times.createTime,
  });
  await em.flush();
  em.create(FlowExecution, {
    ...times,
    organizationId,
    id: flowExecutionId,
    flowId,
    flowVersion: 1,
    runNumber: 1,
    status: "queued",
    dispatch: "external",
    labels: "{}",
    requestId: flowExecutionId,
    revision: 0n,
    totalTasks: tasks.length,
    queuedTasks: 0,
    runningTasks: 0,
    completedTasks: 0,
    failedTasks: 0,
    cancelledTasks: 0,
    staleTasks: 0,
    toleratedTasks: 0,
    priority: 0,
    etag: 1,
    modifiedBy: "system",
  });
  await em.flush();
  return { flowId, flowExecutionId };
}
