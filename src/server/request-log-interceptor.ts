import { Code, ConnectError, createContextKey, type Interceptor } from "@connectrpc/connect";
import { callerKey } from "../auth/caller.ts";
import { type Logger, logCall } from "./call-log.ts";
import { protocolKey, protocolOf } from "./protocol.ts";
import { requestIdHeader, requestIdKey, toRequestId } from "./request-id.ts";

/** Whether a call has come as far as the interceptors. Those that have not are logged by the adapter. */
export const interceptedKey = createContextKey(false, { description: "intercepted" });

/**
 * Returns the outermost interceptor: it sees to it that the call has a request id, and logs how it ended.
 *
 * A stream is logged when it ends, also when its client vanishes while the handler is parked in a `yield`:
 * then only the signal tells.
 */
export function createRequestLogInterceptor(logger: Logger): Interceptor {
  return (next) => async (req) => {
    const { contextValues: values } = req;
    const start = performance.now();
    values.set(interceptedKey, true);
    const isOwn = values.get(requestIdKey) === "";
    if (isOwn) {
      values.set(requestIdKey, toRequestId(req.header.get(requestIdHeader)));
    }
    let logged = false;
    const log = (error?: unknown): void => {
      if (!logged) {
        logged = true;
        logCall(logger, {
          requestId: values.get(requestIdKey),
          path: `${req.service.typeName}/${req.method.name}`,
          protocol: values.get(protocolKey) ?? protocolOf(req.header.get("content-type")),
          durationMs: performance.now() - start,
          caller: values.get(callerKey),
          error: error === undefined ? undefined : ConnectError.from(error, Code.Internal),
        });
      }
    };
    try {
      const response = await next(req);
      // Over HTTP the adapter has set it.
      if (isOwn) {
        response.header.set(requestIdHeader, values.get(requestIdKey));
      }
      if (!response.stream) {
        log();
        return response;
      }
      // Later than the end of the stream itself, if that is what the abort is about.
      req.signal.addEventListener("abort", () => setImmediate(log, req.signal.reason), { once: true });
      return { ...response, message: logEnd(response.message, log) };
    } catch (error) {
      log(error);
      throw error;
    }
  };
}

async function* logEnd<T>(source: AsyncIterable<T>, log: (error?: unknown) => void): AsyncIterable<T> {
  try {
    yield* source;
    log();
  } catch (error) {
    log(error);
    throw error;
  }
}
