import { create } from "@bufbuild/protobuf";
import { type TaskError, TaskErrorSchema } from "../../gen/taskledger/v1/task_execution_pb.ts";

/** How many bytes of UTF-8 each part of an error may have; what is longer is cut. */
export const taskErrorLimits = { message: 4096, type: 256, traceback: 65_536 } as const;

/**
 * Converts an error to canonical JSON text. Never throws: a failure can always be recorded.
 *
 * What is longer than its limit is cut and marked; what cannot be stored is replaced by U+FFFD.
 */
export function toErrorText(error: TaskError): string {
  return JSON.stringify({
    message: cut(error.message, taskErrorLimits.message),
    type: cut(error.type, taskErrorLimits.type),
    traceback: cut(error.traceback, taskErrorLimits.traceback),
  });
}

/** Converts stored JSON text back to an error. */
export function fromErrorText(text: string): TaskError {
  return create(TaskErrorSchema, JSON.parse(text));
}

function cut(text: string, limit: number): string {
  const clean = text.toWellFormed().replaceAll("\0", "\ufffd");
  const bytes = Buffer.from(clean);
  if (bytes.length <= limit) {
    return clean;
  }
  const mark = ` … [cut: ${bytes.length} bytes]`;
  let end = limit - Buffer.byteLength(mark);
  // Do not end within a character: bytes 10xxxxxx continue one.
  while ((bytes[end]! & 0xc0) === 0x80) {
    end--;
  }
  return bytes.toString("utf8", 0, end) + mark;
}
