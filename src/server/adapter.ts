import type { DescService, Registry } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ContextValues,
  createConnectRouter,
  type Interceptor,
} from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { LedgerError } from "../errors.ts";
import { isAuthority } from "./authority.ts";
import type { Logger } from "./call-log.ts";
import { handleCors } from "./cors.ts";
import { discardRest } from "./discard-rest.ts";
import { toErrorResponse } from "./error-response.ts";
import { shapeError } from "./error-shape.ts";
import { createExchange, type Exchange } from "./exchange.ts";
import { draining, malformed, methodUnknown } from "./framework-error.ts";
import { quickGzip } from "./gzip.ts";
import type { Limits } from "./limits.ts";
import type { HeaderReader, NodeRequest, NodeResponse } from "./node-http.ts";
import { isOpenService } from "./open-services.ts";
import { handleProbe } from "./probes.ts";
import type { Readiness } from "./readiness.ts";
import { findDuplicateCredential, fromHttpStatus } from "./refusal.ts";
import { requestIdHeader } from "./request-id.ts";
import { ResponseCutOff, type WholeResponse, writeResponse, writeWhole } from "./response-writer.ts";
import { callRpc } from "./rpc.ts";
import { endsItself } from "./self-ending-methods.ts";
import { callShort, collectShortMethods, isShort } from "./short-way.ts";
import type { Site } from "./site.ts";

/** Lets a call in before its body is read, or throws. May say whose it is in the values. */
export type Admit = (service: DescService, header: HeaderReader, values: ContextValues) => Promise<void>;

/** What an adapter serves, and how. */
export interface AdapterOptions {
  /** Adds the services. */
  readonly routes: (router: ConnectRouter) => void;
  /** The interceptors, outermost first. */
  readonly interceptors: readonly Interceptor[];
  readonly admit?: Admit;
  /** What may stand in a google.protobuf.Any. JSON says it by its fields, and cannot say what it does not know. */
  readonly details?: Registry;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly readiness: Readiness;
  /** The origins from which pages in browsers may call; see {@link handleCors}. */
  readonly corsOrigins: readonly string[];
  /** The pages for browsers, if there are any. */
  readonly site?: Site | undefined;
}

/** Answers the requests of node:http and node:http2. */
export interface Adapter {
  handle(request: NodeRequest, response: NodeResponse): void;
  /** From now on refuses calls; ends the streams in flight with UNAVAILABLE, but those that end themselves. Unary calls in flight go on. */
  drain(): void;
}

/**
 * Returns the way from Node's requests to the services.
 *
 * In place of connectNodeAdapter, which lets one malformed request end the process, writes errors to the
 * console, and never notices that a client stopped sending or reading.
 */
export function createAdapter(options: AdapterOptions): Adapter {
  const { limits, logger, readiness, corsOrigins, site } = options;
  const { rpcs, shortMethods } = createRpcs(options);
  const active = new Set<Exchange>();
  const streams = new Set<Exchange>();
  let isDraining = false;

  async function answer(exchange: Exchange): Promise<UniversalServerResponse | WholeResponse> {
    const { request } = exchange;
    const authority = request.authority ?? request.headers.host;
    if (!isAuthority(authority)) {
      throw malformed("the Host or :authority of the request is not a host with an optional port");
    }
    const duplicate = findDuplicateCredential(request);
    if (duplicate !== undefined) {
      throw malformed(`the header ${duplicate} is there more than once`);
    }
    const path = request.url?.split("?", 1)[0] ?? "";
    const rpc = rpcs.get(path);
    if (rpc === undefined) {
      throw methodUnknown(path);
    }
    const isStream = rpc.method.methodKind !== "unary";
    if (isDraining && (isStream || !isOpenService(rpc.service))) {
      throw draining();
    }
    if (isStream && !endsItself(rpc.method)) {
      streams.add(exchange);
    }
    const short = isShort(request) ? shortMethods.get(path) : undefined;
    const called = short && (await callShort(short, exchange, limits, options.admit));
    if (called !== undefined && "trailer" in called) {
      return called;
    }
    const response = await callRpc(rpc, authority, exchange, limits, options.admit, called);
    return response.body === undefined && response.status !== 200
      ? refuse(exchange, fromHttpStatus(response.status, rpc, request), response)
      : response;
  }

  async function serve(exchange: Exchange): Promise<void> {
    const { request, response } = exchange;
    response.setHeader(requestIdHeader, exchange.requestId);
    if (isDraining) {
      closeAfter(exchange);
    }
    if (handleProbe(request, response, readiness) || handleCors(request, response, corsOrigins)) {
      return;
    }
    const page = site?.answer(request);
    const answered =
      (page && (await page)) ?? (await answer(exchange).catch((error: unknown) => refuse(exchange, error)));
    if ("status" in answered) {
      await writeResponse(forMethod(request, answered), response, limits.writeStallMs);
    } else {
      await writeWhole(answered, exchange, limits.writeStallMs);
    }
  }

  return {
    handle(request, response) {
      const exchange = createExchange(request, response, logger);
      active.add(exchange);
      exchange.onClose(() => active.delete(exchange) && streams.delete(exchange));
      serve(exchange)
        .catch((error: unknown) => {
          exchange.cutOff();
          if (!(error instanceof ResponseCutOff)) {
            exchange.logFailure(shapeError(error, { requestId: exchange.requestId, input: "" }));
          }
        })
        .finally(() => {
          exchange.complete();
          discardRest(request, response, limits.lingerMs);
        });
    },
    drain() {
      isDraining = true;
      active.forEach(closeAfter);
      for (const stream of streams) {
        stream.abort(draining());
      }
    },
  };
}

function createRpcs({ routes, interceptors, details, limits }: AdapterOptions) {
  const router = createConnectRouter({
    interceptors: [...interceptors],
    readMaxBytes: limits.readMaxBytes,
    // What is not known may be a mistake: a filter that is dropped silently would show everything.
    jsonOptions: { ignoreUnknownFields: false, ...(details && { registry: details }) },
    writeMaxBytes: limits.writeMaxBytes,
    compressMinBytes: limits.compressMinBytes,
    maxTimeoutMs: limits.maxTimeoutMs,
    // Not brotli: it compresses a bomb a thousand times better than gzip.
    acceptCompression: [quickGzip],
    // The header would keep foreign pages from posting, but so does the content type: no page can send one that
    // we take without asking for leave first (CORS), and methods that take GET have no side effects. There are
    // no cookies either. So a plain curl may do without it.
    requireConnectProtocolHeader: false,
  });
  const short = collectShortMethods(router, interceptors);
  routes(short.router);
  const rpcs = new Map(router.handlers.map((rpc) => [rpc.requestPath, rpc]));
  return { rpcs, shortMethods: short.methods };
}

/** Returns the response for a request that does not reach an interceptor, and logs it. */
function refuse(
  exchange: Exchange,
  thrown: unknown,
  http?: UniversalServerResponse,
): UniversalServerResponse {
  const error = shapeError(thrown, { requestId: exchange.requestId, input: "" });
  exchange.logFailure(error);
  const isUnknown = thrown instanceof LedgerError && thrown.problem === "METHOD_UNKNOWN";
  const status = http?.status ?? (isUnknown ? 404 : undefined);
  const response = toErrorResponse(error, exchange.request.headers["content-type"], status);
  for (const [name, value] of http?.header ?? []) {
    // Closing at once would reset a client that still sends, and the answer with it: see discardRest.
    if (name !== "connection") response.header?.set(name, value);
  }
  return response;
}

/** Leaves out the body where none may be: Node's HTTP/2 has ended the stream with the headers by then. */
function forMethod({ method }: NodeRequest, response: UniversalServerResponse): UniversalServerResponse {
  const { status, header } = response;
  return method === "HEAD" ? { status, ...(header && { header }) } : response;
}

/** Lets an HTTP/1.1 connection end with this response; HTTP/2 has GOAWAY for that. */
function closeAfter({ request, response }: Exchange): void {
  if (request.httpVersionMajor === 1 && !response.headersSent) {
    response.setHeader("connection", "close");
  }
}
