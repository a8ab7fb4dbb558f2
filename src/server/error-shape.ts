import { ConnectError } from "@connectrpc/connect";
import { LedgerError } from "../errors.ts";
import { problemOf, toConnectError } from "./error-details.ts";
import { clientGone, fromFrameworkError } from "./framework-error.ts";
import { fromValidationError } from "./validation-error.ts";

/** Returns what the caller may know of an error of the database, or undefined if it is none that is expected. */
export type ToLedgerError = (error: unknown) => LedgerError | undefined;

/** What an error must be told about the call in which it was thrown. */
export interface FailedCall {
  readonly requestId: string;
  /** The name of the request message of the method. */
  readonly input: string;
}

/**
 * Gives anything that was thrown the one shape that errors have.
 *
 * What is not meant for the caller becomes INTERNAL, with what was thrown as the cause, for the log only.
 */
export function shapeError(error: unknown, call: FailedCall, toLedgerError?: ToLedgerError): ConnectError {
  if (error instanceof ConnectError && problemOf(error) !== undefined) {
    return error;
  }
  return toConnectError(explain(error, call, toLedgerError) ?? internal(error), call.requestId);
}

function explain(
  error: unknown,
  { input }: FailedCall,
  toLedgerError?: ToLedgerError,
): LedgerError | undefined {
  if (error instanceof LedgerError) {
    return error;
  }
  if (error instanceof ConnectError) {
    return fromValidationError(error) ?? fromFrameworkError(error, input);
  }
  if (error instanceof Error && error.name === "AbortError") {
    return clientGone();
  }
  return toLedgerError?.(error);
}

/** Returns what the caller learns of a defect. */
export function internal(cause: unknown): LedgerError {
  return new LedgerError("INTERNAL", "internal error; report it with the request id", { cause });
}
