import { randomUUID } from "node:crypto";
import { type ContextValues, createContextKey } from "@connectrpc/connect";

/** The header that carries the request id, in requests and in every response. */
export const requestIdHeader = "x-request-id";

/** The id of a call. Set by the adapter, or by the request log when a call does not come over HTTP. */
export const requestIdKey = createContextKey("", { description: "request id" });

/**
 * Returns the id of a request: the one it brings, if it is harmless in logs and headers, or a new one.
 *
 * @param header the value of {@link requestIdHeader}
 */
export function toRequestId(header: string | null | undefined, newId: () => string = randomUUID): string {
  return header != null && /^[A-Za-z0-9._-]{1,64}$/.test(header) ? header : newId();
}

/** Returns the id of a call. */
export function requestIdOf(context: { readonly values: ContextValues }): string {
  return context.values.get(requestIdKey);
}
