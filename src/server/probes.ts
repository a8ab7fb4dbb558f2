import type { NodeRequest, NodeResponse } from "./node-http.ts";
import type { Readiness } from "./readiness.ts";

/**
 * Answers `GET /healthz`, is the process alive, and `GET /readyz`, should it be sent requests: for load
 * balancers that speak plain HTTP only. Others use grpc.health.v1.
 *
 * @returns whether the request was for one of these, and is answered
 */
export function handleProbe(request: NodeRequest, response: NodeResponse, readiness: Readiness): boolean {
  const { method, url } = request;
  if (method !== "GET" && method !== "HEAD") {
    return false;
  }
  switch (url) {
    case "/healthz":
      return reply(method, response, 200, "alive\n");
    case "/readyz":
      return readiness.isReady()
        ? reply(method, response, 200, "ready\n")
        : reply(method, response, 503, "not ready\n");
    default:
      return false;
  }
}

function reply(method: string, response: NodeResponse, status: number, text: string): true {
  const body = Buffer.from(text);
  response.writeHead(status, {
    "content-type": "text/plain",
    "content-length": body.byteLength,
    "cache-control": "no-store",
  });
  if (method !== "HEAD") {
    response.write(body);
  }
  response.end();
  return true;
}
