import type { Interceptor } from "@connectrpc/connect";
import { LedgerError } from "../errors.ts";
import type { Limits } from "./limits.ts";
import { isOpenService } from "./open-services.ts";
import { isWaiting } from "./waiting-methods.ts";

/** How many calls are in flight. */
export interface InFlight {
  readonly unary: number;
  readonly streams: number;
}

/**
 * Returns the interceptor that refuses calls over the number that may be in flight in this process.
 *
 * Health and reflection are exempt: a server that is merely busy must not look dead. Unary calls count until
 * the handler is done, even if the caller was answered before because the deadline passed.
 *
 * @param observe is told the new numbers after each change, for metrics
 */
export function createLimitsInterceptor(
  limits: Pick<Limits, "maxUnaryInFlight" | "maxStreamsInFlight">,
  observe: (inFlight: InFlight) => void = () => undefined,
): Interceptor {
  const inFlight = { unary: 0, streams: 0 };
  const count = (kind: keyof InFlight, by: 1 | -1): void => {
    inFlight[kind] += by;
    observe({ ...inFlight });
  };
  return (next) => async (req) => {
    if (isOpenService(req.service)) {
      return await next(req);
    }
    if (!req.stream) {
      // Whoever waits needs no room among those who work.
      const kind = isWaiting(req.method) ? "streams" : "unary";
      const limit = kind === "streams" ? limits.maxStreamsInFlight : limits.maxUnaryInFlight;
      admit(inFlight[kind], limit, "requests");
      count(kind, 1);
      try {
        return await next(req);
      } finally {
        count(kind, -1);
      }
    }
    admit(inFlight.streams, limits.maxStreamsInFlight, "streams");
    // Not by the end of the iterator: a generator parked in `yield` does not notice that its client is gone.
    req.signal.throwIfAborted();
    count("streams", 1);
    req.signal.addEventListener("abort", () => count("streams", -1), { once: true });
    return await next(req);
  };
}

function admit(inFlight: number, limit: number, what: string): void {
  if (inFlight >= limit) {
    throw new LedgerError("TOO_MANY_REQUESTS", `${limit} ${what} are in flight; repeat the request`, {
      retryAfterMs: 500,
    });
  }
}
