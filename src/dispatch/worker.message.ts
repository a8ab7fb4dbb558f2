import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type ClaimedTaskExecution,
  ClaimedTaskExecutionSchema,
  type ClaimTaskExecutionsRequest,
  type Heartbeat,
  type TaskReport,
} from "../../gen/taskledger/v1/worker_service_pb.ts";
import { LedgerError } from "../errors.ts";
import { fromMs, toMs } from "../flow/duration.ts";
import { toPayloadText } from "../payload/payload.ts";
import { toErrorText } from "../payload/task-error.ts";
import type { WorkReport, WorkResult } from "../task-execution/changes.ts";
import { toTaskExecutionMessage } from "../task-execution/task-execution.message.ts";
import type { Claim, Claimed } from "./claim.ts";
import { failureOf } from "./decide-work.ts";
import type { Beat } from "./lease-statements.ts";

/** Converts a request for work. */
export function fromClaimRequest(request: ClaimTaskExecutionsRequest): Claim {
  const { executors, maxTaskExecutions, workerId, requestId } = request;
  return { executors, max: maxTaskExecutions, workerId, requestId };
}

/** Converts a claimed task for the wire. */
export function toClaimedMessage({ record, lease }: Claimed): ClaimedTaskExecution {
  const message: MessageInitShape<typeof ClaimedTaskExecutionSchema> = {
    taskExecution: toTaskExecutionMessage(record),
    token: BigInt(lease.token),
    lease: fromMs(lease.remainingMs),
    leaseExpireTime: timestampFromDate(lease.expireTime),
    executor: record.executor ?? "",
  };
  if (lease.timeoutMs !== null) message.timeout = fromMs(lease.timeoutMs);
  return create(ClaimedTaskExecutionSchema, message);
}

/** Converts a sign of life. */
export function fromHeartbeat({ id, token, progress }: Heartbeat): Beat {
  const said = progress && { fraction: progress.fraction, message: progress.message };
  return { id: id.toLowerCase(), token: String(token), progress: said ? JSON.stringify(said) : null };
}

/**
 * Converts the report of a worker. An output that cannot be stored is a failure of the task, so that it ends and
 * says why.
 */
export function fromTaskReport({ id, token, result }: TaskReport): WorkReport {
  return { type: "work", id: id.toLowerCase(), token: String(token), result: toResult(result) };
}

function toResult(result: TaskReport["result"]): WorkResult {
  switch (result.case) {
    case "failed": {
      const { error, retryable, retryAfter } = result.value;
      return {
        status: "failed",
        error: toErrorText(error!),
        errorType: error!.type,
        retryable: retryable ?? true,
        retryAfterMs: toMs(retryAfter),
      };
    }
    case "cancelled":
      return { status: "cancelled" };
    case "released":
      return { ...failureOf("Released", "its worker stopped, and handed it back"), isInterruption: true };
    default:
      try {
        const { output } = result.value ?? {};
        return { status: "completed", output: output ? toPayloadText(output, "output") : undefined };
      } catch (error) {
        if (error instanceof LedgerError) return failureOf("InvalidOutput", error.message);
        throw error;
      }
  }
}
