import { constants } from "node:http2";
import type { NodeRequest, NodeResponse } from "./node-http.ts";

/**
 * Gets rid of what the client still sends of a request that is answered, so that the connection stays usable.
 *
 * HTTP/2 can say so: the stream is reset, without an error. HTTP/1.1 cannot, and closing at once would reset
 * the connection before the client has read the answer; so the rest is read and dropped for a while.
 */
export function discardRest(request: NodeRequest, response: NodeResponse, lingerMs: number): void {
  if (request.complete) {
    return;
  }
  request.resume();
  const { stream } = request;
  if (stream === undefined) {
    response.once("finish", () => {
      const timer = setTimeout(() => request.destroy(), lingerMs);
      request.once("close", () => clearTimeout(timer));
    });
    return;
  }
  // Not before the trailers are out, even if there are none: a reset overtakes them, and the answer is lost.
  const reset = () => setImmediate(() => request.complete || stream.close(constants.NGHTTP2_NO_ERROR));
  // The answer to HEAD has none.
  if (stream.sentTrailers !== undefined || request.method === "HEAD") {
    reset();
  } else {
    stream.once("wantTrailers", reset);
  }
}
