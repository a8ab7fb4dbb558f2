import type { Interceptor } from "@connectrpc/connect";
export const authorizationInterceptor: Interceptor = (next) => next;
