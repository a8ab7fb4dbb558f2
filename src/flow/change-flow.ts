import { type EntityManager, LockMode } from "@mikro-orm/postgresql";
import type { Caller } from "../auth/caller.ts";
import { modifiedByOf } from "../auth/modified-by.ts";
import { violatedConstraint } from "../db/sql-state.ts";
import { inTransaction, LostRace } from "../db/transaction.ts";
import { LedgerError, notFound } from "../errors.ts";
import { requireDefinition } from "./definition-invalid.ts";
import { Flow } from "./flow.entity.ts";
import { insertFlow, insertVersion, type NewVersion, updateFlow } from "./flow-statements.ts";
import { FlowVersion } from "./flow-version.entity.ts";

/** A flow with its newest version, definition and tasks included. */
export interface CurrentFlow {
  readonly flow: Flow;
  readonly version: FlowVersion;
}

/** What a change of a flow takes from outside. */
export interface Change {
  readonly caller: Caller;
  readonly now: Date;
}

/** Loads one version of a flow with its definition and tasks. */
export function findVersion(em: EntityManager, flowId: string, version: number): Promise<FlowVersion | null> {
  return em.findOne(FlowVersion, { flowId, version }, { populate: ["definition", "tasks", "inputSchema"] });
}

/** Creates a flow, or returns the one of this name if it has the very same definition. */
export async function createFlow(
  em: EntityManager,
  { caller, now }: Change,
  { text, newId }: { readonly text: string; readonly newId: () => string },
): Promise<CurrentFlow & { readonly isNew: boolean }> {
  const definition = await requireDefinition(caller.organizationId, text);
  return inTransaction(em, async (tx) => {
    const existing = await tx.findOne(Flow, { name: definition.name, deleteTime: null });
    if (existing !== null) {
      const version = await findVersion(tx, existing.id, existing.version);
      if (version?.definition !== text) {
        throw nameTaken(definition.name);
      }
      return { flow: existing, version, isNew: false };
    }
    const { organizationId } = caller;
    const row = {
      organizationId,
      flowId: newId(),
      version: 1,
      text,
      definition,
      modifiedBy: modifiedByOf(caller),
      now,
    };
    if (!(await insertFlow(tx, row))) {
      throw new LostRace("another flow got the name first");
    }
    await insertVersion(tx, row);
    return { ...(await reload(tx, row)), isNew: true };
  });
}

/** Makes a new version of a flow, unless its newest one has the very same definition. */
export async function changeFlow(
  em: EntityManager,
  { caller, now }: Change,
  { id, etag, text }: { readonly id: string; readonly etag: string; readonly text: string },
): Promise<CurrentFlow & { readonly isNew: boolean }> {
  const definition = await requireDefinition(caller.organizationId, text);
  return inTransaction(em, async (tx) => {
    const flow = await lockFlow(tx, id);
    if (flow.deleteTime) {
      throw flowDeleted();
    }
    const newest = await findVersion(tx, flow.id, flow.version);
    if (newest?.definition === text) {
      return { flow, version: newest, isNew: false };
    }
    requireEtag(flow, etag);
    const row = {
      organizationId: flow.organizationId,
      flowId: flow.id,
      version: flow.version + 1,
      text,
      definition,
      modifiedBy: modifiedByOf(caller),
      now,
    };
    try {
      await updateFlow(tx, row);
    } catch (error) {
      throw violatedConstraint(error) === "flow_name_key" ? nameTaken(definition.name) : error;
    }
    await insertVersion(tx, row);
    return { ...(await reload(tx, row)), isNew: true };
  });
}

/** Deletes a flow, unless it is deleted already. An empty etag means: whatever it is now. */
export async function deleteFlow(
  em: EntityManager,
  { caller, now }: Change,
  { id, etag }: { readonly id: string; readonly etag: string },
): Promise<CurrentFlow> {
  return inTransaction(em, async (tx) => {
    const flow = await lockFlow(tx, id);
    if (!flow.deleteTime) {
      if (etag !== "") {
        requireEtag(flow, etag);
      }
      flow.deleteTime = now;
      flow.updateTime = now;
      flow.modifiedBy = modifiedByOf(caller);
      flow.etag++;
      await tx.flush();
    }
    const version = await findVersion(tx, flow.id, flow.version);
    if (version === null) {
      throw new Error("a flow lacks its newest version");
    }
    return { flow, version };
  });
}

/** Returns the error for a flow that nothing new may be done with. */
export function flowDeleted(): LedgerError {
  return new LedgerError("FLOW_DELETED", "the flow is deleted; create a new one");
}

async function lockFlow(em: EntityManager, id: string): Promise<Flow> {
  const flow = await em.findOne(Flow, { id }, { lockMode: LockMode.PESSIMISTIC_WRITE });
  if (flow === null) {
    throw notFound("flow");
  }
  return flow;
}

/** Loads what was stored past the EntityManager. */
async function reload(em: EntityManager, { flowId, version }: NewVersion): Promise<CurrentFlow> {
  const stored = await findVersion(em, flowId, version);
  if (stored === null) {
    throw new Error("a flow version is gone that was just stored");
  }
  return { flow: await em.findOneOrFail(Flow, { id: flowId }, { refresh: true }), version: stored };
}

function requireEtag(flow: Flow, etag: string): void {
  if (etag !== String(flow.etag)) {
    throw new LedgerError("ETAG_OUT_OF_DATE", "the flow has changed since you read it; read it again");
  }
}

function nameTaken(name: string): LedgerError {
  const message = `a flow named ${JSON.stringify(name)} exists already; update it or choose another name`;
  return new LedgerError("NAME_TAKEN", message, { metadata: { name } });
}
