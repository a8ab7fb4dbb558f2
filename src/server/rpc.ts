import type { IncomingHttpHeaders } from "node:http";
import { Code, type ConnectError, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { LedgerError } from "../errors.ts";
import type { Admit } from "./adapter.ts";
import { normalizeDeadline } from "./deadline.ts";
import { shapeError } from "./error-shape.ts";
import type { Exchange } from "./exchange.ts";
import { deadlineExceeded, malformed } from "./framework-error.ts";
import { reshapeErrors } from "./framework-response.ts";
import type { Limits } from "./limits.ts";
import { protocolOf } from "./protocol.ts";
import { readBody, readChunks } from "./request-body.ts";
import { requestIdKey } from "./request-id.ts";
import { interceptedKey } from "./request-log-interceptor.ts";
import { isWaiting } from "./waiting-methods.ts";

/** Room in the body of a unary call for what is around its message: the envelope, and gRPC-Web's trailers. */
const envelopeRoom = 1024;

/**
 * Calls an RPC with a request of Node's, whose authority was checked.
 *
 * @returns the response; without a body if Connect knows nothing but an HTTP status to say
 */
export async function callRpc(
  rpc: UniversalHandler,
  authority: string,
  exchange: Exchange,
  limits: Limits,
  admit?: Admit,
): Promise<UniversalServerResponse> {
  const { request, requestId, signal } = exchange;
  const { methodKind, input } = rpc.method;
  const header = toHeaders(request.headers);
  const isUnary = methodKind === "unary";
  const { maxTimeoutMs, waitingTimeoutMs } = limits;
  const defaultTimeoutMs = isWaiting(rpc.method) ? waitingTimeoutMs : limits.defaultTimeoutMs;
  const protocol = protocolOf(header.get("content-type"));
  const timeoutMs = normalizeDeadline(header, protocol, isUnary, { maxTimeoutMs, defaultTimeoutMs });
  const contextValues = createContextValues().set(requestIdKey, requestId);
  const hasOneMessage = isUnary || methodKind === "server_streaming";

  if (!isUnary) {
    // Many small messages, to many listeners or one: compressing each costs more than all else that is done for it.
    for (const name of ["grpc-accept-encoding", "connect-accept-encoding"]) header.delete(name);
  }

  const response = await rpc({
    httpVersion: request.httpVersion,
    method: request.method ?? "",
    // Only the path and the query are ever looked at. The path is one that we know, so this is a URL.
    url: `http://${authority}${request.url}`,
    header,
    body: hasOneMessage
      ? wholeBody(exchange, limits, timeoutMs, () => admit?.(rpc.service, header, contextValues))
      : readChunks(request, signal),
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

/** Yields the body in one piece, so that a client that trickles it, or never ends, costs a deadline and no more. */
async function* wholeBody(
  exchange: Exchange,
  { bodyTimeoutMs, readMaxBytes }: Limits,
  timeoutMs = bodyTimeoutMs,
  admit: () => Promise<void> | undefined,
) {
  const timer = setTimeout(
    () => {
      const error = timeoutMs < bodyTimeoutMs ? deadlineExceeded() : bodyTooSlow(bodyTimeoutMs);
      exchange.abort(error);
    },
    Math.min(timeoutMs, bodyTimeoutMs),
  );
  try {
    const refusal: unknown = await admit()?.then(
      () => undefined,
      (error: unknown) => error,
    );
    // What is refused is read all the same: some clients wait for ever if what they send is left lying.
    const body = await readBody(exchange.request, readMaxBytes + envelopeRoom, exchange.signal, !refusal);
    if (refusal) {
      throw refusal;
    }
    yield body;
  } catch (error) {
    throw shapeError(error, { requestId: exchange.requestId, input: "" });
  } finally {
    clearTimeout(timer);
  }
}

function bodyTooSlow(limitMs: number): LedgerError {
  return new LedgerError("DEADLINE_EXCEEDED", `the request was not complete after ${limitMs} ms`);
}

/** Recognizes a query whose base64 is none: the one thing in a Connect GET that Connect takes for its own defect. */
function fromQuery(error: ConnectError, method: string | undefined): LedgerError | undefined {
  return method === "GET" && error.code === Code.Internal && error.rawMessage === "internal error"
    ? malformed("the query parameter message is not base64")
    : undefined;
}

function toHeaders(node: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(node)) {
    // Names with a colon are those of HTTP/2 itself, such as ":path".
    if (value !== undefined && !name.startsWith(":")) {
      for (const each of Array.isArray(value) ? value : [value]) {
        headers.append(name, each);
      }
    }
  }
  return headers;
}
