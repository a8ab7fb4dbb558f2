import { Conflict_Verdict as Verdict } from "../../gen/taskledger/v1/error_details_pb.ts";
import {
  type Amendment,
  type EventType,
  type PayloadField,
  payloadFields,
  type Report,
  type Step,
  type TaskRecord,
} from "./changes.ts";
import { conflict, nameOf } from "./conflict.ts";
import { eventTo, isOpen, next, type Status } from "./lifecycle.ts";

/** A change of a record that was found to be allowed, and what the event log says of it. */
export interface Decision {
  readonly event: EventType;
  readonly changedFields: readonly string[];
  /** Makes the change. */
  apply(record: TaskRecord): void;
}

/**
 * Decides a report about a record that is there.
 *
 * @returns undefined if the record is just as reported
 * @throws LedgerError if the lifecycle or the content of the record stands against it
 */
export function decideReport(record: TaskRecord, report: Report, now: Date): Decision | undefined {
  if (record.status === "deleted") {
    throw deleted(record);
  }
  if (record.status === report.status) {
    const differingFields = findDifferences(record, report);
    if (differingFields.length === 0) {
      return undefined;
    }
    throw conflict(
      "CONTENT_DIFFERS",
      `${nameOf(record)} is already ${record.status} with other content: ${differingFields.join(", ")}`,
      record,
      Verdict.STOP,
      { differingFields },
    );
  }
  const event = eventTo(report.status);
  if (event === undefined || next(record.status, event) === undefined) {
    throw illegal(record, event ?? "queue");
  }
  return {
    event,
    changedFields: payloadFields.filter((field) => report.payloads[field] !== undefined),
    apply(target) {
      target.status = report.status;
      Object.assign(target, report.payloads);
      Object.assign(target, timesOf(report, now, target));
    },
  };
}

/** Returns the times of a record in the status of a report: as reported, else as known, else now. */
export function timesOf(
  { status, startTime, endTime }: Report,
  now: Date,
  known: { startTime: Date | null } = { startTime: null },
): { startTime: Date | null; endTime: Date | null } {
  return {
    startTime: startTime ?? known.startTime ?? (status === "running" ? now : null),
    endTime: isOpen(status) ? null : (endTime ?? now),
  };
}

function findDifferences(record: TaskRecord, report: Report): string[] {
  const payloads = payloadFields.filter(
    (field) => report.payloads[field] !== undefined && report.payloads[field] !== record[field],
  );
  const times = (["startTime", "endTime"] as const).filter(
    (field) => report[field] !== undefined && report[field].getTime() !== record[field]?.getTime(),
  );
  return [...payloads, ...times.map((field) => (field === "startTime" ? "start_time" : "end_time"))];
}

/** In which status a payload may be amended. */
const amendable: Readonly<Record<PayloadField, Status>> = {
  input: "queued",
  output: "completed",
  error: "failed",
};

/** Decides an amendment, as {@link decideReport} does a report. */
export function decideAmendment(record: TaskRecord, { payloads, etag }: Amendment): Decision | undefined {
  const fields = payloadFields.filter((field) => payloads[field] !== undefined);
  if (record.status === "deleted") {
    throw deleted(record);
  }
  for (const field of fields) {
    if (record.status !== amendable[field]) {
      throw conflict(
        "NOT_AMENDABLE",
        `${field} can be amended only on a ${amendable[field]} task execution; ${nameOf(record)} is ${record.status}`,
        record,
        Verdict.STOP,
        { metadata: { field } },
      );
    }
  }
  const changedFields = fields.filter((field) => payloads[field] !== record[field]);
  if (changedFields.length === 0) {
    return undefined;
  }
  expectEtag(record, etag);
  return {
    event: "amend",
    changedFields,
    apply(target) {
      Object.assign(target, payloads);
      target.edited ||= changedFields.includes("output");
    },
  };
}

/**
 * Decides a step, as {@link decideReport} does a report. Taking a step twice is the same as once.
 *
 * A record that a worker holds is not cancelled, but its worker asked to stop.
 */
export function decideStep(record: TaskRecord, { type, etag }: Step, now: Date): Decision | undefined {
  const isHeld = record.status === "running" && record.leaseToken !== null;
  const done = {
    cancel: record.status === "cancelled" || (isHeld && record.cancelRequested === true),
    delete: record.status === "deleted",
  };
  if (type === "undelete" ? !done.delete : done[type]) {
    return undefined;
  }
  if (type === "cancel" && done.delete) {
    throw deleted(record);
  }
  const status = next(record.status, type, record.statusBeforeDelete ?? undefined);
  if (status === undefined) {
    throw illegal(record, type);
  }
  expectEtag(record, etag);
  if (type === "cancel" && isHeld) {
    return {
      event: "request_cancel",
      changedFields: [],
      apply(target) {
        target.cancelRequested = true;
      },
    };
  }
  return {
    event: type,
    changedFields: [],
    apply(target) {
      target.statusBeforeDelete = target.status === "deleted" || type !== "delete" ? null : target.status;
      target.deleteTime = type === "delete" ? now : null;
      target.endTime = type === "cancel" ? now : target.endTime;
      target.status = status;
    },
  };
}

/** Returns the change that makes a record stale, or undefined if the lifecycle knows none from its status. */
export function decideOutdate({ status }: TaskRecord): Decision | undefined {
  const outdated = next(status, "outdate");
  return (
    outdated && {
      event: "outdate",
      changedFields: [],
      apply(target) {
        target.status = outdated;
      },
    }
  );
}

function expectEtag(record: TaskRecord, etag: string): void {
  if (etag !== "" && etag !== String(record.etag)) {
    throw conflict(
      "ETAG_OUT_OF_DATE",
      `${nameOf(record)} has changed since you read it; read it again`,
      record,
      Verdict.REFRESH,
    );
  }
}

/** Returns the error for a change of a deleted record. */
export function deleted(record: TaskRecord) {
  return conflict("RECORD_DELETED", `${nameOf(record)} is deleted; undelete it first`, record, Verdict.STOP);
}

function illegal(record: TaskRecord, event: string) {
  const advice = isOpen(record.status) ? "report the steps in order" : "report a new try with the next idx";
  return conflict(
    "ILLEGAL_TRANSITION",
    `cannot ${event} ${nameOf(record)}: it is ${record.status}; ${advice}`,
    record,
    Verdict.STOP,
    { metadata: { event } },
  );
}
