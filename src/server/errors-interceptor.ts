import type { ConnectError, Interceptor } from "@connectrpc/connect";
import { streamUntilAborted, untilAborted } from "./abortable.ts";
import { shapeError, type ToLedgerError } from "./error-shape.ts";
import { requestIdKey } from "./request-id.ts";

/**
 * Returns the interceptor that gives every error its one shape, and ends every call whose signal aborts.
 *
 * The signal aborts when the deadline passes, the client goes away or the server shuts streams down. Then the
 * caller is answered at once, whether or not the handler listens to the signal.
 *
 * Stands outside of all interceptors that throw. Errors that Connect raises before any interceptor runs are
 * shaped by the adapter.
 *
 * @param toLedgerError explains errors of the database
 */
export function createErrorsInterceptor(toLedgerError: ToLedgerError): Interceptor {
  return (next) => async (req) => {
    const call = { requestId: req.contextValues.get(requestIdKey), input: req.method.input.typeName };
    const shape = (error: unknown): ConnectError => shapeError(error, call, toLedgerError);
    try {
      const response = await untilAborted(req.signal, () => next(req));
      return response.stream
        ? { ...response, message: shapeErrors(streamUntilAborted(req.signal, response.message), shape) }
        : response;
    } catch (error) {
      throw shape(error);
    }
  };
}

async function* shapeErrors<T>(
  source: AsyncIterable<T>,
  shape: (error: unknown) => ConnectError,
): AsyncIterable<T> {
  try {
    yield* source;
  } catch (error) {
    throw shape(error);
  }
}
