import type { Interceptor } from "@connectrpc/connect";
import { isOpenService } from "../server/open-services.ts";
import { type Caller, callerKey } from "./caller.ts";
export type Authenticate = (credential: string) => Promise<Caller | undefined>;
export function createAuthenticationInterceptor(authenticate: Authenticate): Interceptor {
  return (next) => async (req) => {
    if (!isOpenService(req.service)) {
      req.contextValues.set(callerKey, await authenticate(req.header.get("authorization") ?? ""));
    }
    return next(req);
  };
}
