import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";

/**
 * Everything that can be wrong with a request, with its status code.
 *
 * The names are those of the public enum ErrorReason in proto/taskledger/v1/error_reason.proto, which
 * documents each with an example.
 */
export const problemCodes = {
  VALIDATION_FAILED: Code.InvalidArgument,
  REQUEST_MALFORMED: Code.InvalidArgument,
  PAYLOAD_REFUSED: Code.InvalidArgument,
  PAGE_TOKEN_INVALID: Code.InvalidArgument,
  TASK_NAME_UNKNOWN: Code.InvalidArgument,
  DEFINITION_INVALID: Code.InvalidArgument,
  INPUT_MISMATCH: Code.InvalidArgument,
  RESUME_TOKEN_INVALID: Code.InvalidArgument,
  CREDENTIAL_MISSING: Code.Unauthenticated,
  CREDENTIAL_INVALID: Code.Unauthenticated,
  ROLE_INSUFFICIENT: Code.PermissionDenied,
  NOT_FOUND: Code.NotFound,
  CONTENT_DIFFERS: Code.AlreadyExists,
  NAME_TAKEN: Code.AlreadyExists,
  REQUEST_ID_REUSED: Code.AlreadyExists,
  ILLEGAL_TRANSITION: Code.FailedPrecondition,
  RECORD_DELETED: Code.FailedPrecondition,
  FLOW_EXECUTION_CLOSED: Code.FailedPrecondition,
  NOT_AMENDABLE: Code.FailedPrecondition,
  FLOW_DELETED: Code.FailedPrecondition,
  LAST_ADMINISTRATOR: Code.FailedPrecondition,
  API_KEY_REVOKED: Code.FailedPrecondition,
  LEASE_LOST: Code.FailedPrecondition,
  LEASE_HELD: Code.FailedPrecondition,
  DISPATCH_MISMATCH: Code.FailedPrecondition,
  TASK_NOT_ENDED: Code.FailedPrecondition,
  UPSTREAM_NOT_COMPLETED: Code.FailedPrecondition,
  NOTHING_TO_ADOPT: Code.FailedPrecondition,
  ETAG_OUT_OF_DATE: Code.Aborted,
  CONTENTION: Code.Aborted,
  SLOW_CONSUMER: Code.Aborted,
  TOO_MANY_REQUESTS: Code.ResourceExhausted,
  POOL_EXHAUSTED: Code.ResourceExhausted,
  STORAGE_FULL: Code.ResourceExhausted,
  MESSAGE_TOO_LARGE: Code.ResourceExhausted,
  LIMIT_REACHED: Code.ResourceExhausted,
  DATABASE_UNAVAILABLE: Code.Unavailable,
  DRAINING: Code.Unavailable,
  WATCH_EXPIRED: Code.Unavailable,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  CANCELLED: Code.Canceled,
  METHOD_UNKNOWN: Code.Unimplemented,
  INTERNAL: Code.Internal,
} as const satisfies Record<string, Code>;

/** What is wrong, as the value of the public enum ErrorReason without its prefix. */
export type Problem = keyof typeof problemCodes;

/** One field of the request that is wrong: its path, such as `tasks[3].name`, and what is wrong with it. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** A detail message of an error, as ConnectError takes it. */
export interface Detail<Desc extends DescMessage = DescMessage> {
  readonly desc: Desc;
  readonly value: MessageInitShape<Desc>;
}

/** What an error may carry beside its message. */
export interface Facts {
  /** Small facts for programs, sent as the metadata of google.rpc.ErrorInfo. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The fields that are wrong, sent as google.rpc.BadRequest. */
  readonly violations?: readonly FieldViolation[];
  /** When the same request may be repeated, in milliseconds; sent as google.rpc.RetryInfo. */
  readonly retryAfterMs?: number;
  /** Further details, such as taskledger.v1.Conflict. */
  readonly details?: readonly Detail[];
  /** What caused it. Logged with the request id, never sent. */
  readonly cause?: unknown;
}

/**
 * An error that the caller is meant to see: its message says what was asked, what is true and what to do.
 *
 * Anything else that is thrown is a defect or an outage. It is logged, and the caller learns only
 * that it was internal, or that the database was away.
 */
export class LedgerError extends Error {
  override readonly name = "LedgerError";
  readonly problem: Problem;
  readonly facts: Facts;

  constructor(problem: Problem, message: string, facts: Facts = {}) {
    super(message, { cause: facts.cause });
    this.problem = problem;
    this.facts = facts;
  }
}

/** Returns the error for a field whose value can never be right. */
export function invalidField(field: string, description: string): LedgerError {
  return new LedgerError("VALIDATION_FAILED", `${field}: ${description}`, {
    violations: [{ field, description }],
  });
}

/** Returns the error for something that is missing, or another organization's: the two are the same. */
export function notFound(resource: string): LedgerError {
  return new LedgerError("NOT_FOUND", `no such ${resource} in your organization`, { metadata: { resource } });
}
