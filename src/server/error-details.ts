import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { type Detail, type FieldViolation, type LedgerError, type Problem, problemCodes } from "../errors.ts";
import { cut } from "./text.ts";

/** The `domain` of the google.rpc.ErrorInfo of every error of this service. */
export const errorDomain = "taskledger";

const reasonPrefix = "ERROR_REASON_";

// Over gRPC an error travels in HTTP trailers, and some clients (Java) take no more than 8 KiB of those.
const maxMessageLength = 512;
const maxValueLength = 256;
const maxViolationsLength = 2048;

/** Returns an error as it is sent, with the details that every error has. Its cause stays, for the log only. */
export function toConnectError(error: LedgerError, requestId: string): ConnectError {
  return new ConnectError(
    cut(error.message, maxMessageLength),
    problemCodes[error.problem],
    undefined,
    errorDetails(error, requestId),
    error.facts.cause,
  );
}

/** Returns the details of an error, also for the google.rpc.Status of one item of a batch. */
export function errorDetails({ problem, facts }: LedgerError, requestId: string): Detail[] {
  const metadata = { ...facts.metadata };
  const violations = facts.violations ?? [];
  const shown = firstViolations(violations);
  if (shown.length < violations.length) {
    metadata["violations"] = String(violations.length);
  }
  for (const [name, value] of Object.entries(metadata)) {
    metadata[name] = cut(value, maxValueLength);
  }
  const details: Detail[] = [
    { desc: ErrorInfoSchema, value: { reason: reasonPrefix + problem, domain: errorDomain, metadata } },
    { desc: RequestInfoSchema, value: { requestId } },
  ];
  if (shown.length > 0) {
    details.push({ desc: BadRequestSchema, value: { fieldViolations: shown } });
  }
  if (facts.retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(facts.retryAfterMs) } });
  }
  return [...details, ...(facts.details ?? [])];
}

/** Returns what an error with {@link errorDetails} says is wrong; undefined for an error without them. */
export function problemOf(error: ConnectError): Problem | undefined {
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === errorDomain);
  const problem = info?.reason.slice(reasonPrefix.length) ?? "";
  return isProblem(problem) ? problem : undefined;
}

function isProblem(name: string): name is Problem {
  return Object.hasOwn(problemCodes, name);
}

/** Returns as many violations as there is room for, but always the first. */
function firstViolations(violations: readonly FieldViolation[]): FieldViolation[] {
  const shown: FieldViolation[] = [];
  let length = 0;
  for (const { field, description } of violations) {
    const violation = { field: cut(field, maxValueLength), description: cut(description, maxValueLength) };
    length += violation.field.length + violation.description.length;
    if (shown.length > 0 && length > maxViolationsLength) {
      break;
    }
    shown.push(violation);
  }
  return shown;
}
