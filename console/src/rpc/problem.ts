import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import { nameOf } from "./transport.ts";

/** An error of a call, as people read it. */
export interface Problem {
  /** Such as NOT_FOUND. */
  readonly code: string;
  readonly message: string;
  /** From the service's list of reasons; empty if the service was not reached. */
  readonly reason: string;
  readonly requestId: string;
  readonly fields: readonly { readonly field: string; readonly description: string }[];
  /** Whether the service could not be reached at all, or said that it will be back. */
  readonly isOutage: boolean;
}

/** Returns what an error says. */
export function toProblem(thrown: unknown): Problem {
  const error = ConnectError.from(thrown);
  const [info] = error.findDetails(ErrorInfoSchema);
  const isOutage = error.code === Code.Unavailable || (info === undefined && error.code === Code.Unknown);
  return {
    code: nameOf(error.code),
    message: info === undefined && isOutage ? "The service cannot be reached." : error.rawMessage,
    reason: info?.reason.replace("ERROR_REASON_", "") ?? "",
    requestId: error.findDetails(RequestInfoSchema)[0]?.requestId ?? "",
    fields: error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations),
    isOutage,
  };
}
