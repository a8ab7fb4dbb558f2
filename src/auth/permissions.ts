import type { ApiKeyService } from "../../gen/taskledger/v1/api_key_service_pb.ts";
import type { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import type { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import type { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import type { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import type { Role } from "./caller.ts";

/** The least roles that may call a method. Whoever administers may call what any of these may. */
type Needed = readonly Role[];

type Methods<Service extends { readonly method: object }> = Readonly<Record<keyof Service["method"], Needed>>;

const read: Needed = ["viewer", "editor"];
const edit: Needed = ["editor"];
const work: Needed = ["worker"];
const administer: Needed = [];

/** Who may call what. A method that is not here does not compile. */
export const permissions = {
  "taskledger.v1.TaskExecutionService": {
    createTaskExecution: work,
    batchCreateTaskExecutions: work,
    ingestTaskExecutions: work,
    getTaskExecution: read,
    batchGetTaskExecutions: read,
    listTaskExecutions: read,
    updateTaskExecution: edit,
    cancelTaskExecution: edit,
    deleteTaskExecution: edit,
    undeleteTaskExecution: edit,
    adoptLateResult: edit,
    updateTaskTags: edit,
    listTaskExecutionEvents: read,
    waitTaskExecution: read,
    watchTaskExecutions: read,
  } satisfies Methods<typeof TaskExecutionService>,
  "taskledger.v1.FlowService": {
    createFlow: edit,
    updateFlow: edit,
    getFlow: read,
    listFlows: read,
    listFlowVersions: read,
    validateFlow: read,
    deleteFlow: edit,
  } satisfies Methods<typeof FlowService>,
  "taskledger.v1.FlowExecutionService": {
    createFlowExecution: ["worker", "editor"],
    getFlowExecution: read,
    listFlowExecutions: read,
    cancelFlowExecution: edit,
    deleteFlowExecution: edit,
    undeleteFlowExecution: edit,
    reExecuteFlowExecution: edit,
    getFlowExecutionSummary: read,
    waitFlowExecution: read,
    watchFlowExecutions: read,
  } satisfies Methods<typeof FlowExecutionService>,
  "taskledger.v1.WorkerService": {
    claimTaskExecutions: work,
    heartbeatTaskExecutions: work,
    reportTaskExecutions: work,
  } satisfies Methods<typeof WorkerService>,
  "taskledger.v1.OrganizationService": {
    createOrganization: ["platform_admin"],
    getOrganization: ["viewer", "worker", "editor"],
  } satisfies Methods<typeof OrganizationService>,
  "taskledger.v1.ApiKeyService": {
    createApiKey: administer,
    listApiKeys: administer,
    rotateApiKey: administer,
    revokeApiKey: administer,
  } satisfies Methods<typeof ApiKeyService>,
} as const;

/** Returns the roles that may call a method; none for a method that is not known. */
export function rolesFor(service: string, method: string): readonly Role[] {
  const needed = (permissions as Readonly<Record<string, Readonly<Record<string, Needed>>>>)[service]?.[
    method
  ];
  if (needed === undefined) {
    return [];
  }
  return needed.includes("platform_admin") ? needed : [...needed, "admin", "platform_admin"];
}
