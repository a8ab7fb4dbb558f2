import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import {
  type CreateTaskExecutionResponse,
  CreateTaskExecutionResponseSchema,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { LedgerError, problemCodes } from "../errors.ts";
import { errorDetails } from "../server/error-details.ts";
import { fromValidationError } from "../server/validation-error.ts";
import { findIllFormedText } from "../server/well-formed.ts";
import { createQuickValidator } from "../validation/validator.ts";
import type { ChangeResult } from "./changes.ts";
import { toPbOutcome, withoutPayloads } from "./task-execution.message.ts";

const validator = createQuickValidator();

/**
 * Converts one item of a batch, which is judged by itself: returns the error if it can never be right.
 *
 * @param convert converts an item that is valid
 */
export function parseItem<Desc extends DescMessage, T>(
  schema: Desc,
  request: MessageShape<Desc>,
  convert: (request: MessageShape<Desc>) => T,
): T | LedgerError {
  const validated = validator.validate(schema, request);
  if (validated.kind !== "valid") {
    const error = new ConnectError(validated.error.message, Code.InvalidArgument);
    error.cause = validated.error;
    return (
      fromValidationError(error) ?? new LedgerError("INTERNAL", "internal error", { cause: validated.error })
    );
  }
  const illFormed = findIllFormedText(request);
  if (illFormed !== undefined) {
    return illFormed;
  }
  try {
    return convert(request);
  } catch (error) {
    if (error instanceof LedgerError) {
      return error;
    }
    throw error;
  }
}

/** Converts an error to the status that an item of a batch carries, with the details of a call's error. */
export function toItemStatus(error: LedgerError, requestId: string): Status {
  return create(StatusSchema, {
    code: problemCodes[error.problem],
    message: error.message,
    details: errorDetails(error, requestId).map(({ desc, value }) => anyPack(desc, create(desc, value))),
  });
}

/** Converts what came of a report to what stands for it among the answers to many. */
export function toReportResult(
  result: ChangeResult,
  requestId: string,
): { case: "response"; value: CreateTaskExecutionResponse } | { case: "error"; value: Status } {
  if ("refused" in result) {
    return { case: "error", value: toItemStatus(result.refused, requestId) };
  }
  const { record, outcome } = result;
  const answer = { taskExecution: withoutPayloads(record), outcome: toPbOutcome(outcome) };
  return { case: "response", value: create(CreateTaskExecutionResponseSchema, answer) };
}
