import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  TaskTagOperation_Action as Action,
  type BatchGetTaskExecutionsResponse_ResultSchema,
  CreateTaskExecutionRequestSchema,
  GetTaskExecutionRequestSchema,
  UpdateTaskTagsResponse_Result as TagResult,
  type TaskExecutionService,
  type UpdateTaskExecutionRequest,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { View } from "../../gen/taskledger/v1/view_pb.ts";
import { callerOf } from "../auth/caller.ts";
import { emOf } from "../db/em.ts";
import { LedgerError } from "../errors.ts";
import type { PageTokens } from "../page-token/page-token.ts";
import { toPayloadText } from "../payload/payload.ts";
import { toErrorText } from "../payload/task-error.ts";
import { requestIdOf } from "../server/request-id.ts";
import { parseItem, toItemStatus, toReportResult } from "./batch.ts";
import {
  type Amendment,
  type Change,
  type ChangeOutcome,
  type ChangeResult,
  payloadFields,
  type Report,
  type TaskRecord,
} from "./changes.ts";
import type { CoalescedReads } from "./coalesced-reads.ts";
import type { CoalescedWrites } from "./coalesced-writes.ts";
import { toEventMessage } from "./event.message.ts";
import { getRecords } from "./read-batch.ts";
import { listEvents, listRecords } from "./read-path.ts";
import { recordFilterOf } from "./record-filter.ts";
import {
  fromCreateRequest,
  fromGetRequest,
  toPbOutcome,
  toTaskExecutionMessage,
  withoutPayloads,
} from "./task-execution.message.ts";
import { toFoundMessage } from "./task-lease.message.ts";
import type { ApplyOptions, WritePath } from "./write-path.ts";

const defaultPageSize = 50;

/** Serves the task executions of the caller's organization. */
export function taskExecutionService(deps: {
  readonly writePath: WritePath;
  readonly writes: CoalescedWrites;
  readonly reads: CoalescedReads;
  readonly pageTokens: PageTokens;
}): Omit<
  ServiceImpl<typeof TaskExecutionService>,
  "ingestTaskExecutions" | "waitTaskExecution" | "watchTaskExecutions"
> {
  const { writePath, writes, reads, pageTokens } = deps;

  function apply(ctx: HandlerContext, changes: readonly Change[], { failsAll, isTrial }: ApplyOptions = {}) {
    const author = { caller: callerOf(ctx), requestId: requestIdOf(ctx) };
    // What may be undone as a whole has a transaction of its own.
    return failsAll !== undefined || isTrial
      ? writePath.apply(emOf(ctx), author, changes, { failsAll, isTrial })
      : writes.apply({ author, changes, timeoutMs: ctx.timeoutMs(), signal: ctx.signal });
  }

  async function applyOne(
    ctx: HandlerContext,
    change: Change,
    isTrial = false,
  ): Promise<Extract<ChangeResult, { record: TaskRecord }>> {
    const [result] = await apply(ctx, [change], { isTrial });
    if ("refused" in result!) {
      throw result.refused;
    }
    return result!;
  }

  return {
    async createTaskExecution(request, ctx) {
      const { record, outcome } = await applyOne(ctx, fromCreateRequest(request));
      return { taskExecution: withoutPayloads(record), outcome: toPbOutcome(outcome) };
    },

    async batchCreateTaskExecutions({ requests }, ctx) {
      const parsed = requests.map((request) =>
        parseItem(CreateTaskExecutionRequestSchema, request, fromCreateRequest),
      );
      const reports = parsed.filter((item): item is Report => !(item instanceof LedgerError));
      const applied = (reports.length > 0 ? await apply(ctx, reports) : []).values();
      const results = parsed.map((item) => {
        const result = item instanceof LedgerError ? { refused: item } : applied.next().value!;
        return { result: toReportResult(result, requestIdOf(ctx)) };
      });
      return { results };
    },

    async getTaskExecution(request, ctx) {
      const { organizationId } = callerOf(ctx);
      const call = { organizationId, timeoutMs: ctx.timeoutMs(), signal: ctx.signal };
      return { taskExecution: toFoundMessage(await reads.get(fromGetRequest(request), call)) };
    },

    async batchGetTaskExecutions({ requests }, ctx) {
      const lookups = requests.map((request) =>
        parseItem(GetTaskExecutionRequestSchema, request, fromGetRequest),
      );
      const found = await getRecords(emOf(ctx), callerOf(ctx).organizationId, lookups);
      const results = found.map(
        (item): MessageInitShape<typeof BatchGetTaskExecutionsResponse_ResultSchema> => ({
          result:
            item instanceof LedgerError
              ? { case: "error", value: toItemStatus(item, requestIdOf(ctx)) }
              : { case: "response", value: { taskExecution: item } },
        }),
      );
      return { results };
    },

    async listTaskExecutions(request, ctx) {
      const em = emOf(ctx);
      const filter = recordFilterOf(request);
      const scope = { method: "ListTaskExecutions", filter };
      const after = await pageTokens.read(em, scope, request.pageToken);
      const size = request.pageSize || defaultPageSize;
      const page = { size, after, full: request.view === View.FULL };
      const { records, more } = await listRecords(em, callerOf(ctx).organizationId, filter, page);
      const nextPageToken = more ? await pageTokens.write(em, scope, records.at(-1)!.id) : "";
      return { taskExecutions: records.map(toTaskExecutionMessage), nextPageToken };
    },

    async updateTaskExecution(request, ctx) {
      const { record, outdated = [] } = await applyOne(ctx, toAmendment(request), request.validateOnly);
      return { taskExecution: withoutPayloads(record), outdated: outdated.map(withoutPayloads) };
    },

    async adoptLateResult({ id, reason }, ctx) {
      const { record } = await applyOne(ctx, { type: "adopt", id: id.toLowerCase(), reason });
      return { taskExecution: withoutPayloads(record) };
    },

    async cancelTaskExecution({ id, etag, reason }, ctx) {
      const { record } = await applyOne(ctx, { type: "cancel", id: id.toLowerCase(), etag, reason });
      return { taskExecution: withoutPayloads(record) };
    },

    async deleteTaskExecution({ id, etag, reason }, ctx) {
      const { record } = await applyOne(ctx, { type: "delete", id: id.toLowerCase(), etag, reason });
      return { taskExecution: withoutPayloads(record) };
    },

    async undeleteTaskExecution({ id, etag, reason }, ctx) {
      const { record } = await applyOne(ctx, { type: "undelete", id: id.toLowerCase(), etag, reason });
      return { taskExecution: withoutPayloads(record) };
    },

    async updateTaskTags({ operations }, ctx) {
      const changes = operations.map(({ action, id, tag, metadata }) => ({
        type: "tag" as const,
        id: id.toLowerCase(),
        action: action === Action.ADD ? ("add" as const) : ("remove" as const),
        tag,
        metadata,
      }));
      const failsAll = ({ problem }: LedgerError) => problem !== "NOT_FOUND";
      const results = await apply(ctx, changes, { failsAll });
      return { results: results.map((result, index) => toTagResult(result, changes[index]!.action)) };
    },

    async listTaskExecutionEvents(request, ctx) {
      const em = emOf(ctx);
      const scope = { method: "ListTaskExecutionEvents", filter: request.id.toLowerCase() };
      const after = await pageTokens.read(em, scope, request.pageToken);
      const page = { size: request.pageSize || defaultPageSize, after };
      const { events, more } = await listEvents(em, request.id, page);
      const nextPageToken = more ? await pageTokens.write(em, scope, String(events.at(-1)!.revision)) : "";
      return { events: events.map(toEventMessage), nextPageToken };
    },
  };
}

function toAmendment({
  id,
  etag,
  reason,
  updateMask,
  executeFlow,
  ...content
}: UpdateTaskExecutionRequest): Amendment {
  const texts = {
    input: content.input ? toPayloadText(content.input, "input") : null,
    output: content.output ? toPayloadText(content.output, "output") : null,
    error: content.error ? toErrorText(content.error) : null,
  };
  const fields = payloadFields.filter((field) => updateMask?.paths.includes(field));
  const payloads = Object.fromEntries(fields.map((field) => [field, texts[field]]));
  return { type: "amend", id: id.toLowerCase(), etag, reason, payloads, executeFlow };
}

function toTagResult(
  result: { readonly outcome: ChangeOutcome } | { readonly refused: LedgerError },
  action: "add" | "remove",
): TagResult {
  if ("refused" in result) {
    return TagResult.NOT_FOUND;
  }
  if (result.outcome === "updated") {
    return action === "add" ? TagResult.ADDED : TagResult.REMOVED;
  }
  return action === "add" ? TagResult.ALREADY_EXISTS : TagResult.NOT_FOUND;
}
