import { Code, type ConnectError, createContextValues } from "@connectrpc/connect";
import {
  createAsyncIterable,
  type UniversalHandler,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import type { LedgerError } from "../errors.ts";
import type { Admit } from "./adapter.ts";
import { requestChunksKey } from "./arrivals.ts";
import { normalizeDeadline } from "./deadline.ts";
import { shapeError } from "./error-shape.ts";
import type { Exchange } from "./exchange.ts";
import { malformed } from "./framework-error.ts";
import { reshapeErrors } from "./framework-response.ts";
import type { Limits } from "./limits.ts";
import { toHeaders } from "./node-http.ts";
import { protocolOf } from "./protocol.ts";
import { readChunks, readWhole } from "./request-body.ts";
import { requestIdKey } from "./request-id.ts";
import { interceptedKey } from "./request-log-interceptor.ts";
import { isShort, type ReadCall } from "./short-way.ts";
import { defaultTimeoutOf } from "./waiting-methods.ts";

/**
 * Calls an RPC with a request of Node's, whose authority was checked.
 *
 * @param read what was read of the request, if it was
 * @returns the response; without a body if Connect knows nothing but an HTTP status to say
 */
export async function callRpc(
  rpc: UniversalHandler,
  authority: string,
  exchange: Exchange,
  limits: Limits,
  admit?: Admit,
  read?: ReadCall,
): Promise<UniversalServerResponse> {
  const { request, requestId, signal } = exchange;
  const { methodKind, input } = rpc.method;
  const header = toHeaders(request.headers);
  const isUnary = methodKind === "unary";
  const { maxTimeoutMs } = limits;
  const defaultTimeoutMs = defaultTimeoutOf(rpc.method, limits);
  const protocol = protocolOf(header.get("content-type"));
  const timeoutMs = normalizeDeadline(header, protocol, isUnary, { maxTimeoutMs, defaultTimeoutMs });
  const contextValues = read?.contextValues ?? createContextValues().set(requestIdKey, requestId);
  const hasOneMessage = isUnary || methodKind === "server_streaming";

  if (!isUnary) {
    // Many small messages, to many listeners or one: compressing each costs more than all else that is done for it.
    for (const name of ["grpc-accept-encoding", "connect-accept-encoding"]) header.delete(name);
  }

  const oneMessage = () =>
    read
      ? createAsyncIterable([read.body])
      : wholeBody(exchange, limits, timeoutMs, () => admit?.(rpc.service, header, contextValues));
  const chunks = readChunks(request, signal);
  if (!hasOneMessage && isShort(request)) {
    contextValues.set(requestChunksKey, { chunks, readMaxBytes: limits.readMaxBytes });
  }
  const body = hasOneMessage ? oneMessage() : chunks;
  const response = await rpc({
    httpVersion: request.httpVersion,
    method: request.method ?? "",
    // Only the path and the query are ever looked at. The path is one that we know, so this is a URL.
    url: `http://${authority}${request.url}`,
    header,
    body,
    signal,
    contextValues,
  });
  return await reshapeErrors(response, (error) => {
    const intercepted = contextValues.get(interceptedKey);
    const known = intercepted ? error : (fromQuery(error, request.method) ?? error);
    const shaped = shapeError(known, { requestId, input: input.typeName });
    if (!intercepted || shaped !== error) {
      exchange.logFailure(shaped);
    }
    return shaped;
  });
}

/** Yields the body in one piece. */
async function* wholeBody(
  exchange: Exchange,
  limits: Limits,
  timeoutMs: number | undefined,
  admit: () => Promise<void> | undefined,
) {
  try {
    yield await readWhole(exchange, limits, timeoutMs, admit);
  } catch (error) {
    throw shapeError(error, { requestId: exchange.requestId, input: "" });
  }
}

/** Recognizes a query whose base64 is none: the one thing in a Connect GET that Connect takes for its own defect. */
function fromQuery(error: ConnectError, method: string | undefined): LedgerError | undefined {
  return method === "GET" && error.code === Code.Internal && error.rawMessage === "internal error"
    ? malformed("the query parameter message is not base64")
    : undefined;
}
