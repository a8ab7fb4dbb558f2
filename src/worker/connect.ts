import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

/** How often a connection with calls under way is probed, and how long the answer may take. */
const pingIntervalMs = 5000;
const pingTimeoutMs = 5000;

/** Reaches a service over gRPC, at a URL such as `http://127.0.0.1:8080`, with the secret of an API key. */
export function connect(url: string, key: string): Transport {
  return createGrpcTransport({
    baseUrl: url,
    pingIntervalMs,
    pingTimeoutMs,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${key}`);
        return next(request);
      },
    ],
  });
}
