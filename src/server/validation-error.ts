import { pathToString } from "@bufbuild/protobuf/reflect";
import { RuntimeError, ValidationError } from "@bufbuild/protovalidate";
import type { ConnectError } from "@connectrpc/connect";
import { LedgerError } from "../errors.ts";

/**
 * Returns what the caller may know of an error of the validation interceptor, or undefined if it is none.
 *
 * Fields are named as in the proto files, such as `items[3].task_name`. The details of buf.validate are
 * dropped: google.rpc.BadRequest says the same, in the words of every other service.
 */
export function fromValidationError({ cause }: ConnectError): LedgerError | undefined {
  if (cause instanceof ValidationError) {
    const violations = cause.violations.map(({ field, message, ruleId }) => ({
      field: pathToString(field),
      description: message || `breaks the rule ${ruleId}`,
    }));
    const message = violations.map(({ field, description }) =>
      field ? `${field}: ${description}` : description,
    );
    return new LedgerError("VALIDATION_FAILED", message.join("; "), { violations });
  }
  if (cause instanceof RuntimeError) {
    // A rule could not be worked out for this very message, so no other message is refused by it.
    return new LedgerError("VALIDATION_FAILED", "the request holds a value that cannot be checked", {
      cause,
    });
  }
  return undefined;
}
