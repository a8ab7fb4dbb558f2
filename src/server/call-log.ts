import type { ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import type { Caller } from "../auth/caller.ts";
import type { Problem } from "../errors.ts";
import { describeCause } from "./error-cause.ts";
import { problemOf } from "./error-details.ts";
import type { Protocol } from "./protocol.ts";
import { oneLine } from "./text.ts";

/** The part of a pino logger that the server uses. */
export interface Logger {
  info(line: object, message: string): void;
  warn(line: object, message: string): void;
  error(line: object, message: string): void;
}

/** What is known of a call when it ends. */
export interface EndedCall {
  readonly requestId: string;
  /** The path of the request, such as `/grpc.health.v1.Health/Check`. */
  readonly path: string;
  readonly protocol: Protocol;
  readonly durationMs: number;
  /** Undefined if it was not authenticated. */
  readonly caller?: Caller | undefined;
  /** Undefined if it succeeded. */
  readonly error?: ConnectError | undefined;
}

/** Where problems of the service, not of the request, are logged; all others are everyday life. */
const levels: Partial<Record<Problem, "warn" | "error">> = {
  INTERNAL: "error",
  DATABASE_UNAVAILABLE: "warn",
  POOL_EXHAUSTED: "warn",
  STORAGE_FULL: "warn",
  CONTENTION: "warn",
  TOO_MANY_REQUESTS: "warn",
};

/**
 * Writes the one line that every call gets when it ends: an allow-list of fields, never a payload, a header
 * or a credential. Whatever comes from outside is cut to 256 characters and cannot forge a line of its own.
 */
export function logCall(logger: Logger, call: EndedCall): void {
  const { error, caller } = call;
  const problem = error && problemOf(error);
  const line = {
    request_id: oneLine(call.requestId),
    method: oneLine(call.path.replace(/^\//, "")),
    protocol: call.protocol,
    code: error ? codeToString(error.code) : "ok",
    reason: problem,
    duration_ms: Math.round(call.durationMs * 10) / 10,
    organization_id: caller && oneLine(caller.organizationId),
    subject: caller && oneLine(caller.subject),
    causes: error?.cause === undefined ? undefined : describeCause(error.cause),
  };
  logger[(problem && levels[problem]) ?? "info"](line, "call");
}
