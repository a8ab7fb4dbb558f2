import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { EntityManager } from "@mikro-orm/postgresql";
import type { FlowService, GetFlowRequest } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { Outcome } from "../../gen/taskledger/v1/outcome_pb.ts";
import { callerOf } from "../auth/caller.ts";
import { emOf } from "../db/em.ts";
import { notFound } from "../errors.ts";
import { type PagedList, readPage } from "../page-token/page.ts";
import type { PageTokens } from "../page-token/page-token.ts";
import { type Change, changeFlow, createFlow, deleteFlow, findVersion } from "./change-flow.ts";
import { checkDefinition } from "./check-definition.ts";
import { Flow } from "./flow.entity.ts";
import {
  toFlowMessage,
  toFlowVersionMessage,
  toFullFlowMessage,
  toValidateFlowResponse,
} from "./flow.message.ts";
import { FlowVersion } from "./flow-version.entity.ts";

/** What the service of flows takes from outside. */
export interface FlowServiceDeps {
  readonly now: () => Date;
  readonly newId: () => string;
  readonly pageTokens: PageTokens;
}

/** Serves the flows of the caller's organization. */
export function flowService({ now, newId, pageTokens }: FlowServiceDeps): ServiceImpl<typeof FlowService> {
  const changeOf = (ctx: HandlerContext): Change => ({ caller: callerOf(ctx), now: now() });
  return {
    async createFlow({ definition: text }, ctx) {
      const { flow, version, isNew } = await createFlow(emOf(ctx), changeOf(ctx), { text, newId });
      return { flow: toFullFlowMessage(flow, version), outcome: isNew ? Outcome.CREATED : Outcome.UNCHANGED };
    },

    async updateFlow({ id, etag, definition: text }, ctx) {
      const { flow, version, isNew } = await changeFlow(emOf(ctx), changeOf(ctx), { id, etag, text });
      return { flow: toFullFlowMessage(flow, version), outcome: isNew ? Outcome.UPDATED : Outcome.UNCHANGED };
    },

    async getFlow({ lookup, version: wanted }, ctx) {
      const em = emOf(ctx);
      const flow = await findFlow(em, lookup);
      if (flow === null) {
        throw notFound("flow");
      }
      const version = await findVersion(em, flow.id, wanted || flow.version);
      if (version === null) {
        throw notFound("flow version");
      }
      return { flow: toFullFlowMessage(flow, version) };
    },

    async listFlows(request, ctx) {
      const em = emOf(ctx);
      const page = await readPage(em, pageTokens, request, flowsOf(em, request.showDeleted));
      return { flows: page.rows.map(toFlowMessage), nextPageToken: page.nextPageToken };
    },

    async listFlowVersions(request, ctx) {
      const em = emOf(ctx);
      const flow = await em.findOne(Flow, { id: request.id });
      if (flow === null) {
        throw notFound("flow");
      }
      const page = await readPage(em, pageTokens, request, versionsOf(em, flow.id));
      return {
        versions: page.rows.map((version) => toFlowVersionMessage(flow, version)),
        nextPageToken: page.nextPageToken,
      };
    },

    async validateFlow({ definition }, ctx) {
      return toValidateFlowResponse(await checkDefinition(callerOf(ctx).organizationId, definition));
    },

    async deleteFlow({ id, etag }, ctx) {
      const { flow, version } = await deleteFlow(emOf(ctx), changeOf(ctx), { id, etag });
      return { flow: toFullFlowMessage(flow, version) };
    },
  };
}

function findFlow(em: EntityManager, lookup: GetFlowRequest["lookup"]): Promise<Flow | null> {
  return lookup.case === "id"
    ? em.findOne(Flow, { id: lookup.value })
    : em.findOne(Flow, { name: lookup.value ?? "", deleteTime: null });
}

function flowsOf(em: EntityManager, showDeleted: boolean): PagedList<Flow> {
  return {
    method: "ListFlows",
    filter: { showDeleted },
    find: (position, limit) =>
      em.find(
        Flow,
        {
          ...(!showDeleted && { deleteTime: null }),
          ...(position !== undefined && { id: { $lt: position } }),
        },
        { orderBy: { id: "desc" }, limit },
      ),
    positionOf: ({ id }) => id,
    bytesOf,
  };
}

function versionsOf(em: EntityManager, flowId: string): PagedList<FlowVersion> {
  return {
    method: "ListFlowVersions",
    filter: { flowId },
    find: (position, limit) =>
      em.find(
        FlowVersion,
        { flowId, ...(position !== undefined && { version: { $lt: Number(position) } }) },
        { orderBy: { version: "desc" }, limit },
      ),
    positionOf: ({ version }) => String(version),
    bytesOf,
  };
}

/** A flow in a list: its texts, and room for ids, times and the subject of the one who changed it. */
function bytesOf({ name, description, modifiedBy }: Flow | FlowVersion): number {
  return Buffer.byteLength(name) + Buffer.byteLength(description) + Buffer.byteLength(modifiedBy) + 256;
}
