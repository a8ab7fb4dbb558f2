import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { EntityManager } from "@mikro-orm/postgresql";
import type { FlowExecution as FlowExecutionMessage } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import type { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { callerOf } from "../auth/caller.ts";
import { emOf } from "../db/em.ts";
import { notFound } from "../errors.ts";
import type { FlowPlans } from "../flow/flow-plan.ts";
import { readPage } from "../page-token/page.ts";
import type { PageTokens } from "../page-token/page-token.ts";
import { requestIdOf } from "../server/request-id.ts";
import type { Author } from "../task-execution/changes.ts";
import type { WritePath } from "../task-execution/write-path.ts";
import { changeFlowExecution, type RunStep } from "./change-flow-execution.ts";
import { createFlowExecution } from "./create-flow-execution.ts";
import { FlowExecution } from "./flow-execution.entity.ts";
import {
  fromCreateRequest,
  fromListRequest,
  fromReExecuteRequest,
  toFlowExecutionMessage,
  toSummaryMessage,
} from "./flow-execution.message.ts";
import { flowExecutionsOf } from "./list-flow-executions.ts";
import { reExecute } from "./re-execute.ts";
import { summarize } from "./summary.ts";

/** What the service of flow executions takes from outside. */
export interface FlowExecutionServiceDeps {
  readonly writePath: WritePath;
  readonly plans: FlowPlans;
  readonly pageTokens: PageTokens;
}

/** Serves the flow executions of the caller's organization. */
export function flowExecutionService(
  deps: FlowExecutionServiceDeps,
): Omit<ServiceImpl<typeof FlowExecutionService>, "waitFlowExecution" | "watchFlowExecutions"> {
  const { writePath, plans, pageTokens } = deps;

  async function change(ctx: HandlerContext, type: RunStep["type"], request: Omit<RunStep, "type">) {
    const em = emOf(ctx);
    const id = request.id.toLowerCase();
    const { etag, reason } = request;
    await changeFlowExecution(writePath, em, authorOf(ctx), { type, id, etag, reason });
    return { flowExecution: await getRun(em, id) };
  }

  return {
    async createFlowExecution(request, ctx) {
      const context = { writePath, author: authorOf(ctx) };
      const { run, isNew } = await createFlowExecution(emOf(ctx), context, fromCreateRequest(request));
      return {
        flowExecution: toFlowExecutionMessage(run),
        outcome: isNew ? Outcome.CREATED : Outcome.UNCHANGED,
      };
    },

    async getFlowExecution({ id }, ctx) {
      return { flowExecution: await getRun(emOf(ctx), id) };
    },

    async listFlowExecutions(request, ctx) {
      const em = emOf(ctx);
      const { rows, nextPageToken } = await readPage(
        em,
        pageTokens,
        request,
        flowExecutionsOf(em, fromListRequest(request)),
      );
      return { flowExecutions: rows.map(toFlowExecutionMessage), nextPageToken };
    },

    cancelFlowExecution: (request, ctx) => change(ctx, "cancel", request),
    deleteFlowExecution: (request, ctx) => change(ctx, "delete", request),
    undeleteFlowExecution: (request, ctx) => change(ctx, "undelete", request),

    async reExecuteFlowExecution(request, ctx) {
      const em = emOf(ctx);
      const taskNames = await reExecute(writePath, em, authorOf(ctx), fromReExecuteRequest(request));
      return { flowExecution: await getRun(em, request.id), taskNames };
    },

    async getFlowExecutionSummary({ id }, ctx) {
      return toSummaryMessage(
        await summarize(emOf(ctx), plans, callerOf(ctx).organizationId, id.toLowerCase()),
      );
    },
  };
}

/** Returns a run with its input. */
export async function findRun(em: EntityManager, id: string): Promise<FlowExecution> {
  const run = await em.findOne(FlowExecution, { id }, { populate: ["input"] });
  if (run === null) {
    throw notFound("flow execution");
  }
  return run;
}

async function getRun(em: EntityManager, id: string): Promise<FlowExecutionMessage> {
  return toFlowExecutionMessage(await findRun(em, id));
}

function authorOf(ctx: HandlerContext): Author {
  return { caller: callerOf(ctx), requestId: requestIdOf(ctx) };
}
