import type { Limits } from "./limits.ts";
import type { Protocol } from "./protocol.ts";

const unitMs: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/**
 * Rewrites the deadline of a request to one that Connect takes, and returns it in milliseconds.
 *
 * Connect refuses deadlines over its limit, and the usual "never" of clients is far over any limit
 * (2^31 ms, 99999999H): these mean "take your time", so they are cut. A unary call without a deadline gets
 * the default. What is no number is left for Connect to refuse; then the result is undefined.
 */
export function normalizeDeadline(
  header: Pick<Headers, "get" | "set">,
  protocol: Protocol,
  isUnary: boolean,
  limits: Pick<Limits, "maxTimeoutMs" | "defaultTimeoutMs">,
): number | undefined {
  const name = protocol === "connect" ? "connect-timeout-ms" : "grpc-timeout";
  const value = header.get(name);
  if (value === null && !isUnary) {
    return undefined;
  }
  const asked = value === null ? limits.defaultTimeoutMs : parse(value, protocol);
  if (asked === undefined) {
    return undefined;
  }
  const timeoutMs = Math.min(asked, limits.maxTimeoutMs);
  if (value === null || timeoutMs < asked) {
    header.set(name, protocol === "connect" ? String(timeoutMs) : toGrpc(timeoutMs));
  }
  return timeoutMs;
}

function parse(value: string, protocol: Protocol): number | undefined {
  const match = /^(\d+)([HMSmun]?)$/.exec(value);
  const unit = match?.[2] ?? "";
  if (match === null || (unit === "") !== (protocol === "connect")) {
    return undefined;
  }
  return Number(match[1]) * (unitMs[unit] ?? 1);
}

/** gRPC takes at most 8 digits, which milliseconds fill after 27 hours. */
function toGrpc(timeoutMs: number): string {
  return timeoutMs < 1e8 ? `${Math.ceil(timeoutMs)}m` : `${Math.floor(timeoutMs / 1000)}S`;
}
