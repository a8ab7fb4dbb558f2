import { cors } from "@connectrpc/connect";
import type { NodeRequest, NodeResponse } from "./node-http.ts";
import { requestIdHeader } from "./request-id.ts";

const allowedHeaders = [...cors.allowedHeaders, "Authorization", "X-API-Key", requestIdHeader].join(", ");
const exposedHeaders = [...cors.exposedHeaders, requestIdHeader].join(", ");

/** Browsers keep the answer to a preflight at most this long, whatever we say: 2 hours in Chromium. */
const maxAgeSeconds = 7200;

/**
 * Sets the CORS headers of a response, and answers a preflight.
 *
 * Credentials are never allowed: this service knows no cookies, so a foreign page has nothing of its visitor's
 * to send along, and `*` gives it no more than any program has that can reach the port.
 *
 * @param origins exact origins such as `https://console.example`, or `*`; none: no browser but from our own origin
 * @returns whether the request was a preflight, and is answered
 */
export function handleCors(
  request: NodeRequest,
  response: NodeResponse,
  origins: readonly string[],
): boolean {
  const { origin } = request.headers;
  if (origins.length === 0) {
    return false;
  }
  const any = origins.includes("*");
  if (!any) {
    response.setHeader("vary", "Origin");
  }
  if (origin === undefined || !(any || origins.includes(origin))) {
    return false;
  }
  response.setHeader("access-control-allow-origin", any ? "*" : origin);
  response.setHeader("access-control-expose-headers", exposedHeaders);
  if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) {
    return false;
  }
  response.writeHead(204, {
    "access-control-allow-methods": cors.allowedMethods.join(", "),
    "access-control-allow-headers": allowedHeaders,
    "access-control-max-age": String(maxAgeSeconds),
  });
  response.end();
  return true;
}
