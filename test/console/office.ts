import { randomUUID } from "node:crypto";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { ApiKey_Kind as Kind, type ApiKey_Role as Role } from "../../gen/taskledger/v1/api_key_pb.ts";
import { ApiKeyService } from "../../gen/taskledger/v1/api_key_service_pb.ts";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import type { TaskExecution } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { connect } from "../../src/worker/connect.ts";
import type { TestService } from "../service.ts";

/** An organization of its own with the key of its administrator, and what a test does there behind the browser's back. */
export interface Office {
  readonly name: string;
  readonly id: string;
  readonly key: string;
  createFlow(definition: string): Promise<string>;
  startRun(flowId: string, input?: JsonValue): Promise<string>;
  /** Plays an outside engine: records many task executions in a run of their own, and returns its id. */
  recordRun(flowId: string, taskName: string, count: number): Promise<string>;
  finish(runId: string): Promise<void>;
  /** Returns the newest record of a task, or the one with an idx. */
  newest(runId: string, taskName: string, idx?: number): Promise<TaskExecution>;
  /** Plays a worker that loses its lease and hands in its output all the same. */
  reportLate(executor: string, output: JsonValue): Promise<void>;
  createKey(role: Role): Promise<string>;
}

/** Opens an organization at a service. */
export async function openOffice(
  service: TestService,
  name = `org-${randomUUID().slice(0, 8)}`,
): Promise<Office> {
  const { organization, secret: key } = await service
    .client(OrganizationService)
    .createOrganization({ name, requestId: randomUUID() });
  const transport = connect(service.origin, key);
  const flows = createClient(FlowService, transport);
  const runs = createClient(FlowExecutionService, transport);
  const tasks = createClient(TaskExecutionService, transport);
  const workers = createClient(WorkerService, transport);

  async function start(flowId: string, dispatch: Dispatch, input?: JsonValue): Promise<string> {
    const { flowExecution } = await runs.createFlowExecution({
      flowId,
      dispatch,
      requestId: randomUUID(),
      ...(input !== undefined && { input: fromJson(ValueSchema, input) }),
    });
    return flowExecution!.id;
  }

  return {
    name,
    id: organization!.id,
    key,
    createFlow: async (definition) => (await flows.createFlow({ definition })).flow!.id,
    startRun: (flowId, input) => start(flowId, Dispatch.MANAGED, input),
    async recordRun(flowId, taskName, count) {
      const flowExecutionId = await start(flowId, Dispatch.EXTERNAL);
      for (let first = 0; first < count; first += 1000) {
        await tasks.batchCreateTaskExecutions({
          requests: Array.from({ length: Math.min(1000, count - first) }, (_, index) => ({
            flowExecutionId,
            taskName,
            taskExecutionIdx: first + index,
            status: 3 as const,
          })),
        });
      }
      return flowExecutionId;
    },
    async finish(id) {
      while (!(await runs.waitFlowExecution({ id })).ended);
    },
    async newest(flowExecutionId, taskName, taskExecutionIdx) {
      const filter = {
        flowExecutionId,
        taskName,
        ...(taskExecutionIdx !== undefined && { taskExecutionIdx }),
      };
      const { taskExecutions } = await tasks.listTaskExecutions(filter);
      return taskExecutions[0]!;
    },
    async reportLate(executor, output) {
      const { claimed } = await workers.claimTaskExecutions({
        executors: [executor],
        maxTaskExecutions: 1,
        workerId: "late",
        requestId: randomUUID(),
        wait: { seconds: 20n },
      });
      const { taskExecution, token } = claimed[0]!;
      const { id } = taskExecution!;
      while (!(await tasks.waitTaskExecution({ id })).ended);
      await workers.reportTaskExecutions({
        reports: [
          { id, token, result: { case: "completed", value: { output: fromJson(ValueSchema, output) } } },
        ],
      });
    },
    async createKey(role) {
      const { secret } = await createClient(ApiKeyService, transport).createApiKey({
        name: `key-${randomUUID()}`,
        kind: Kind.SERVICE_ACCOUNT,
        role,
        requestId: randomUUID(),
      });
      return secret;
    },
  };
}
