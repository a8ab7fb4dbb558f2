import { createContextKey, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import type { EntityManager, MikroORM } from "@mikro-orm/postgresql";
import { callerKey, callerOf } from "../auth/caller.ts";
import { forOrganization } from "./organization.ts";

/** The database as the caller's organization sees it. Set by the organization interceptor. */
const emKey = createContextKey<((timeoutMs: number | undefined) => EntityManager) | undefined>(undefined, {
  description: "entity manager",
});

/**
 * Returns the EntityManager of a call, limited to the caller's organization.
 *
 * Its statements end in the database when the deadline of the call has passed.
 */
export function emOf(ctx: HandlerContext): EntityManager {
  const createEm = ctx.values.get(emKey);
  if (createEm === undefined) {
    callerOf(ctx);
    throw new Error("the organization interceptor is missing");
  }
  return createEm(ctx.timeoutMs());
}

/** Gives every call an EntityManager of its own. A call without a caller gets none, and so no data. */
export function createOrganizationInterceptor(orm: MikroORM, statementTimeoutMs: number): Interceptor {
  return (next) => (req) => {
    const caller = req.contextValues.get(callerKey);
    if (caller !== undefined) {
      req.contextValues.set(emKey, (timeoutMs) =>
        forOrganization(
          orm,
          caller.organizationId,
          Math.min(timeoutMs ?? statementTimeoutMs, statementTimeoutMs),
        ),
      );
    }
    return next(req);
  };
}
