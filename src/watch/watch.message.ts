import { create } from "@bufbuild/protobuf";
import {
  WatchResync_Reason as Reason,
  type WatchResync,
  WatchResyncSchema,
} from "../../gen/taskledger/v1/watch_pb.ts";
import type { ResyncReason } from "./watch-kind.ts";

/** Converts for the wire why everything is told anew. */
export function toResyncMessage(reason: ResyncReason): WatchResync {
  const reasons = { "token too old": Reason.TOKEN_TOO_OLD, undeleted: Reason.UNDELETED };
  return create(WatchResyncSchema, { reason: reasons[reason] });
}
