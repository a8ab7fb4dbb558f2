import type { OutgoingHttpHeaders } from "node:http";
import { create, type DescMethodUnary, type Message, toBinary } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ContextValues,
  createContextValues,
  type HandlerContext,
  type Interceptor,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { compressedFlag } from "@connectrpc/connect/protocol";
import { decodeRequest } from "../payload/decode-request.ts";
import type { Admit } from "./adapter.ts";
import { normalizeDeadline } from "./deadline.ts";
import { headLength, promisedLength } from "./envelope.ts";
import { setGrpcStatus } from "./error-response.ts";
import { shapeError } from "./error-shape.ts";
import type { Exchange } from "./exchange.ts";
import { deadlineExceeded, tooLarge } from "./framework-error.ts";
import { quickGzip } from "./gzip.ts";
import type { Limits } from "./limits.ts";
import { type NodeRequest, readerOf, toHeaders } from "./node-http.ts";
import { protocolKey } from "./protocol.ts";
import { readWhole } from "./request-body.ts";
import { requestIdKey } from "./request-id.ts";
import { interceptedKey } from "./request-log-interceptor.ts";
import type { WholeResponse } from "./response-writer.ts";
import { defaultTimeoutOf } from "./waiting-methods.ts";

const contentType = "application/grpc+proto";
const statusOk = { "grpc-status": "0" };

/** A unary method with all interceptors around it. */
export interface ShortMethod {
  readonly method: DescMethodUnary;
  readonly invoke: (req: ShortRequest) => Promise<UnaryResponse>;
}

/** The request of a call as interceptors see it, with what its handler is told besides. */
interface ShortRequest extends UnaryRequest {
  readonly context: HandlerContext;
}

/** What was read of a call that is for the long way. */
export interface ReadCall {
  readonly body: Uint8Array;
  /** Holds whose the call is. */
  readonly contextValues: ContextValues;
}

type Handle = (message: Message, context: HandlerContext) => unknown;

/**
 * Returns a router that adds services to another, and collects their unary methods for {@link callShort}, by path.
 *
 * Services with options of their own are left out.
 */
export function collectShortMethods(
  router: ConnectRouter,
  interceptors: readonly Interceptor[],
): { router: ConnectRouter; methods: ReadonlyMap<string, ShortMethod> } {
  const methods = new Map<string, ShortMethod>();
  const collecting: ConnectRouter = {
    ...router,
    service(service, implementation, options) {
      router.service(service, implementation, options);
      for (const method of options === undefined ? service.methods : []) {
        const handler = (implementation as Readonly<Record<string, unknown>>)[method.localName];
        if (method.methodKind === "unary" && typeof handler === "function") {
          const unary = method as DescMethodUnary;
          const invoke = intercept(unary, handler.bind(implementation) as Handle, interceptors);
          methods.set(`/${service.typeName}/${method.name}`, { method: unary, invoke });
        }
      }
      return collecting;
    },
  };
  return { router: collecting, methods };
}

function intercept(
  method: DescMethodUnary,
  handle: Handle,
  interceptors: readonly Interceptor[],
): ShortMethod["invoke"] {
  const innermost = async (req: ShortRequest): Promise<UnaryResponse> => {
    const { context } = req;
    const answer = await handle(req.message, context);
    return {
      stream: false,
      service: method.parent,
      method,
      message: create(method.output, answer as Message),
      get header() {
        return context.responseHeader;
      },
      get trailer() {
        return context.responseTrailer;
      },
    };
  };
  type Any = ReturnType<Interceptor>;
  const outermost = interceptors.reduceRight((next, each) => each(next), innermost as unknown as Any);
  return outermost as unknown as ShortMethod["invoke"];
}

/** Whether a deadline is none, or one that is sure to be understood. */
function isTimeout(value: string | string[] | undefined): boolean {
  return value === undefined || (typeof value === "string" && /^[1-9]\d{0,7}[HMSmun]$/.test(value));
}

/**
 * Reports whether a call may go the short way: over HTTP/2, by gRPC, in binary, and not compressed. The answer may be.
 */
export function isShort({ method, headers, stream }: NodeRequest): boolean {
  const type = headers["content-type"];
  const encoding = headers["grpc-encoding"];
  return (
    stream !== undefined &&
    method === "POST" &&
    (type === contentType || type === "application/grpc") &&
    (encoding === undefined || encoding === "identity") &&
    isTimeout(headers["grpc-timeout"])
  );
}

/**
 * Calls a unary method as most calls are made. It answers what Connect would answer.
 *
 * Connect takes a call with one message through a dozen asynchronous iterables, several Headers and a chain of abort
 * signals, which costs more than all else that is done for it. Here is what remains of that if nothing is unusual.
 * Whatever is unusual in what was sent is left to Connect, so that there is one place which says what is wrong.
 *
 * @returns the response; or what was read, if it is not one message as it should be
 */
export async function callShort(
  { method, invoke }: ShortMethod,
  exchange: Exchange,
  limits: Limits,
  admit?: Admit,
): Promise<WholeResponse | ReadCall> {
  const { request, requestId } = exchange;
  const header = readerOf(request.headers);
  const { maxTimeoutMs } = limits;
  const defaultTimeoutMs = defaultTimeoutOf(method, limits);
  const asked = { get: header.get, set: () => undefined };
  // It is a number: the call would not be here otherwise.
  const timeoutMs = normalizeDeadline(asked, "grpc", true, { maxTimeoutMs, defaultTimeoutMs })!;
  const contextValues = createContextValues().set(requestIdKey, requestId).set(protocolKey, "grpc");
  const context = new ShortContext(method, exchange, contextValues, timeoutMs);
  const deadline = setTimeout(() => exchange.abort(deadlineExceeded()), timeoutMs);
  try {
    const body = await readWhole(exchange, limits, timeoutMs, () =>
      admit?.(method.parent, header, contextValues),
    );
    const message = decode(method, body, limits);
    if (message === undefined) {
      return { body, contextValues };
    }
    const answer = await invoke(toRequest(method, message, context));
    return await respond(context, toBinary(method.output, answer.message), request, limits);
  } catch (error) {
    const shaped = shapeError(error, { requestId, input: method.input.typeName });
    if (shaped !== error || !contextValues.get(interceptedKey)) {
      exchange.logFailure(shaped);
    }
    const trailer = Object.fromEntries(setGrpcStatus(context.responseTrailer, shaped));
    return { header: context.sentHeader(), trailer };
  } finally {
    clearTimeout(deadline);
  }
}

/** Returns the message of a body that holds one, whole and not compressed; else undefined. */
function decode(method: DescMethodUnary, body: Uint8Array, { readMaxBytes }: Limits): Message | undefined {
  const length = body.length - headLength;
  if (length < 0 || length > readMaxBytes || body[0] !== 0) {
    return undefined;
  }
  if (promisedLength(body) !== length) {
    return undefined;
  }
  try {
    return decodeRequest(method.input, Buffer.from(body.buffer, body.byteOffset + headLength, length));
  } catch {
    return undefined;
  }
}

function toRequest(method: DescMethodUnary, message: Message, context: ShortContext): ShortRequest {
  return {
    stream: false,
    service: method.parent,
    method,
    message,
    requestMethod: context.requestMethod,
    url: context.url,
    signal: context.signal,
    contextValues: context.values,
    context,
    get header() {
      return context.requestHeader;
    },
  };
}

async function respond(
  context: ShortContext,
  message: Uint8Array,
  { headers }: NodeRequest,
  { compressMinBytes, writeMaxBytes }: Limits,
): Promise<WholeResponse> {
  if (message.length > writeMaxBytes) {
    throw tooLarge("response", writeMaxBytes);
  }
  const isGzip = acceptsGzip(headers["grpc-accept-encoding"]);
  const isCompressed = isGzip && message.length >= compressMinBytes;
  const sent = isCompressed ? await quickGzip.compress(message) : message;
  const body = Buffer.allocUnsafe(headLength + sent.length);
  body[0] = isCompressed ? compressedFlag : 0;
  body.writeUInt32BE(sent.length, 1);
  body.set(sent, headLength);
  return { header: context.sentHeader(isGzip), body, trailer: context.sentTrailer() };
}

/** Reports whether gzip is among the encodings that a client takes. */
function acceptsGzip(accepted: string | string[] | undefined): boolean {
  return (
    accepted === "gzip" ||
    (typeof accepted === "string" && accepted.split(",").some((n) => n.trim() === "gzip"))
  );
}

/** What a handler is told of its call. The Headers are made for those few who ask for them. */
class ShortContext implements HandlerContext {
  readonly method: DescMethodUnary;
  readonly signal: AbortSignal;
  readonly values: ContextValues;
  readonly requestMethod = "POST";
  readonly protocolName = "grpc";
  readonly #request: NodeRequest;
  readonly #expiry: number;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;

  constructor(
    method: DescMethodUnary,
    { request, signal }: Exchange,
    values: ContextValues,
    timeoutMs: number,
  ) {
    this.method = method;
    this.signal = signal;
    this.values = values;
    this.#request = request;
    this.#expiry = Date.now() + timeoutMs;
  }

  get service() {
    return this.method.parent;
  }

  get url(): string {
    return `http://${this.#request.authority}${this.#request.url}`;
  }

  readonly timeoutMs = (): number => this.#expiry - Date.now();

  get requestHeader(): Headers {
    this.#requestHeader ??= toHeaders(this.#request.headers);
    return this.#requestHeader;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers({ "content-type": contentType });
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers(statusOk);
    return this.#responseTrailer;
  }

  sentHeader(isGzip = false): OutgoingHttpHeaders {
    const own = this.#responseHeader && Object.fromEntries(this.#responseHeader);
    return { "content-type": contentType, ...own, ...(isGzip && { "grpc-encoding": "gzip" }) };
  }

  sentTrailer(): OutgoingHttpHeaders {
    return this.#responseTrailer ? Object.fromEntries(this.#responseTrailer) : statusOk;
  }
}
