import { constants } from "node:http2";
import type { ConnectError } from "@connectrpc/connect";
import type { LedgerError } from "../errors.ts";
import { type Logger, logCall } from "./call-log.ts";
import { toConnectError } from "./error-details.ts";
import { clientGone } from "./framework-error.ts";
import type { NodeRequest, NodeResponse } from "./node-http.ts";
import { protocolOf } from "./protocol.ts";
import { requestIdHeader, toRequestId } from "./request-id.ts";

/** One request over HTTP and its response. */
export interface Exchange {
  readonly request: NodeRequest;
  readonly response: NodeResponse;
  readonly requestId: string;
  /** Aborts when the client goes away, or by `abort`; the reason is always a ConnectError as it is sent. */
  readonly signal: AbortSignal;
  abort(error: LedgerError): void;
  /** Whether the response is over, whether or not it was written. */
  isClosed(): boolean;
  /** Has a function called when the response is over. */
  onClose(listener: () => void): void;
  /** Says that the response is written: from now on the client may go. */
  complete(): void;
  /** Gives up a response that is half written. */
  cutOff(): void;
  /** Logs a failure that no interceptor has seen. */
  logFailure(error: ConnectError): void;
}

/** Begins an exchange. */
export function createExchange(request: NodeRequest, response: NodeResponse, logger: Logger): Exchange {
  const start = performance.now();
  const controller = new AbortController();
  const requestId = toRequestId(request.headers[requestIdHeader]?.toString());
  let completed = false;
  let closed = false;
  // An "error" event without a listener ends the process. What errors mean comes with "close", too.
  request.on("error", () => undefined);
  response.on("error", () => undefined);
  // Node's response over HTTP/2 says nothing of its end if it was to HEAD and nobody ended it; its stream does.
  const ending = request.stream ?? response;
  ending.once("close", () => {
    closed = true;
    if (!completed) {
      controller.abort(toConnectError(clientGone(), requestId));
    }
  });
  return {
    request,
    response,
    requestId,
    signal: controller.signal,
    abort(error) {
      controller.abort(toConnectError(error, requestId));
    },
    isClosed: () => closed,
    onClose(listener) {
      ending.once("close", listener);
    },
    complete() {
      completed = true;
    },
    cutOff() {
      if (request.stream === undefined) {
        response.destroy();
      } else {
        request.stream.close(constants.NGHTTP2_CANCEL);
      }
    },
    logFailure(error) {
      logCall(logger, {
        requestId,
        path: request.url?.split("?", 1)[0] ?? "",
        protocol: protocolOf(request.headers["content-type"]),
        durationMs: performance.now() - start,
        error,
      });
    },
  };
}
