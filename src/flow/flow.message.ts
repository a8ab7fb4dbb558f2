import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type Flow as FlowMessage,
  FlowSchema,
  type FlowTaskSchema,
} from "../../gen/taskledger/v1/flow_pb.ts";
import type { ValidateFlowResponse } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { ValidateFlowResponseSchema } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { fromJson } from "../payload/payload.ts";
import type { ParsedDefinition } from "./definition.ts";
import { fromMs } from "./duration.ts";
import type { Flow } from "./flow.entity.ts";
import { type FlowVersion, tasksOf } from "./flow-version.entity.ts";
import type { TaskDefinition } from "./task-definition.ts";

/** Converts a flow in its newest version for a list, without definition and tasks. */
export function toFlowMessage(flow: Flow): FlowMessage {
  return create(FlowSchema, {
    id: flow.id,
    organizationId: flow.organizationId,
    name: flow.name,
    description: flow.description,
    version: flow.version,
    modifiedBy: flow.modifiedBy,
    createTime: timestampFromDate(flow.createTime),
    updateTime: timestampFromDate(flow.updateTime),
    etag: String(flow.etag),
    ...(flow.deleteTime && { deleteTime: timestampFromDate(flow.deleteTime) }),
  });
}

/**
 * Converts a flow in one of its versions for a list, without definition and tasks.
 *
 * An older version was last changed when it was made; the newest one is the flow as it is now.
 */
export function toFlowVersionMessage(flow: Flow, version: FlowVersion): FlowMessage {
  const message = toFlowMessage(flow);
  if (version.version !== flow.version) {
    message.name = version.name;
    message.description = version.description;
    message.version = version.version;
    message.modifiedBy = version.modifiedBy;
    message.updateTime = timestampFromDate(version.createTime);
  }
  return message;
}

/** Converts a flow in one of its versions, which was loaded with definition and tasks. */
export function toFullFlowMessage(flow: Flow, version: FlowVersion): FlowMessage {
  const message = toFlowVersionMessage(flow, version);
  message.definition = version.definition;
  message.tasks = create(FlowSchema, {
    tasks: tasksOf(version).map(toTaskMessage),
  }).tasks;
  if (version.inputSchema) message.inputSchema = fromJson(JSON.parse(version.inputSchema));
  return message;
}

function toTaskMessage(task: TaskDefinition): MessageInitShape<typeof FlowTaskSchema> {
  const { retry } = task;
  return {
    name: task.name,
    executor: task.executor,
    dependsOn: [...task.dependsOn],
    forEach: task.forEach ?? "",
    retry: {
      maxAttempts: retry.maxAttempts,
      initialBackoff: fromMs(retry.initialBackoffMs),
      multiplier: retry.multiplier,
      maxBackoff: fromMs(retry.maxBackoffMs),
      nonRetryable: [...retry.nonRetryable],
    },
    lease: fromMs(task.leaseMs),
    continueOnFailure: task.onFailure === "continue",
    ...(task.input !== undefined && { input: fromJson(task.input) }),
    ...(task.timeoutMs !== undefined && { timeout: fromMs(task.timeoutMs) }),
  };
}

/** Converts what the check of a definition found. */
export function toValidateFlowResponse({ problems, ...parsed }: ParsedDefinition): ValidateFlowResponse {
  const levels = "levels" in parsed ? parsed.levels : [];
  return create(ValidateFlowResponseSchema, {
    problems: problems.map((problem) => ({ ...problem })),
    levels: levels.map((taskNames) => ({ taskNames: [...taskNames] })),
  });
}
