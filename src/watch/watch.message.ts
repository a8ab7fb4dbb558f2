import { create } from "@bufbuild/protobuf";
import type { FlowExecution } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  WatchResync_Reason as Reason,
  WatchRemoval,
  type WatchResync,
  WatchResyncSchema,
} from "../../gen/taskledger/v1/watch_pb.ts";
import { toFlowExecutionMessage } from "../flow-execution/flow-execution.message.ts";
import type { Status } from "../task-execution/lifecycle.ts";
import type { Told } from "./watch-kind.ts";

const reasons = { "token too old": Reason.TOKEN_TOO_OLD, undeleted: Reason.UNDELETED } as const;

/** What one message tells, as both kinds of watches have it. */
type Content<Value> =
  | { case: "snapshot"; value: Value }
  | { case: "changes"; value: Value }
  | { case: "synced"; value: Record<never, never> }
  | { case: "keepalive"; value: Record<never, never> }
  | { case: "resync"; value: WatchResync }
  | { case: "end"; value: { flowExecution: FlowExecution } };

/**
 * Converts for the wire what one message tells.
 *
 * @param toValue puts changes into the message that holds them
 */
export function toContent<Change, Value>(
  told: Told<Change>,
  toValue: (changes: Change[]) => Value,
): Content<Value> {
  switch (told.case) {
    case "snapshot":
    case "changes":
      return { case: told.case, value: toValue(told.changes) };
    case "synced":
    case "keepalive":
      return { case: told.case, value: {} };
    case "resync":
      return { case: told.case, value: create(WatchResyncSchema, { reason: reasons[told.reason] }) };
    case "end":
      return { case: told.case, value: { flowExecution: toFlowExecutionMessage(told.run) } };
  }
}

/** Returns why something is not shown any more. */
export function toRemoval(status: Status): WatchRemoval {
  return status === "deleted" ? WatchRemoval.DELETED : WatchRemoval.LEFT_FILTER;
}
