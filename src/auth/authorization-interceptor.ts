import type { Interceptor } from "@connectrpc/connect";
import { LedgerError } from "../errors.ts";
import { isOpenService } from "../server/open-services.ts";
import { callerKey } from "./caller.ts";
import { rolesFor } from "./permissions.ts";

/**
 * Refuses calls that the caller's role does not include.
 *
 * It stands before validation and the handlers: who may not call a method learns nothing from it.
 */
export const authorizationInterceptor: Interceptor = (next) => (req) => {
  const role = req.contextValues.get(callerKey)?.role;
  if (!isOpenService(req.service)) {
    const needed = rolesFor(req.service.typeName, req.method.localName);
    if (role === undefined || !needed.includes(role)) {
      throw new LedgerError(
        "ROLE_INSUFFICIENT",
        `role ${role} may not call ${req.method.name}; it needs ${needed.join(" or ")}`,
        { metadata: { role: String(role), needed: needed.join(",") } },
      );
    }
  }
  return next(req);
};
