import type { Message } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { invalidField, type LedgerError } from "../errors.ts";

/**
 * Messages whose texts are judged elsewhere: payloads by their own limits, errors are repaired rather than
 * refused, and the reports and lookups of a batch each by itself.
 */
const judgedElsewhere = new Set([
  "google.protobuf.Value",
  "taskledger.v1.TaskError",
  "taskledger.v1.CreateTaskExecutionRequest",
  "taskledger.v1.GetTaskExecutionRequest",
]);

/**
 * Returns the error for a text that PostgreSQL cannot hold, or undefined if all are well: U+0000, or half of
 * a surrogate pair, which would silently become U+FFFD, so that two different names could become one.
 */
export function findIllFormedText(message: Message, path = ""): LedgerError | undefined {
  for (const [name, value] of Object.entries(message)) {
    if (name !== "$typeName" && name !== "$unknown") {
      const error = findIn(value, path + (path && ".") + toFieldName(name));
      if (error !== undefined) {
        return error;
      }
    }
  }
  return undefined;
}

function findIn(value: unknown, path: string): LedgerError | undefined {
  if (typeof value === "string") {
    return value.isWellFormed() && !value.includes("\0")
      ? undefined
      : invalidField(path, "the text holds U+0000 or half of a surrogate pair; send well-formed Unicode");
  }
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) {
    return undefined;
  }
  if (Array.isArray(value)) {
    return first(value, (item, index) => findIn(item, `${path}[${index}]`));
  }
  if ("$typeName" in value) {
    return judgedElsewhere.has(value.$typeName as string)
      ? undefined
      : findIllFormedText(value as Message, path);
  }
  // A map, or a oneof, whose `case` names the field.
  if ("case" in value && "value" in value && typeof value.case === "string") {
    return findIn(value.value, path.replace(/[^.]*$/, toFieldName(value.case)));
  }
  return first(Object.entries(value), ([key, item]) => findIn(key, path) ?? findIn(item, path));
}

function first<T>(items: readonly T[], find: (item: T, index: number) => LedgerError | undefined) {
  for (const [index, item] of items.entries()) {
    const error = find(item, index);
    if (error !== undefined) {
      return error;
    }
  }
  return undefined;
}

/** Converts a property's name to the field's name in the proto file. */
function toFieldName(property: string): string {
  return property.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Requests with a flow definition, whose problems are told with line and column instead. */
const definitionRequests = new Set([
  "taskledger.v1.CreateFlowRequest",
  "taskledger.v1.UpdateFlowRequest",
  "taskledger.v1.ValidateFlowRequest",
]);

/** Refuses requests with texts that cannot be stored. It stands beside validation, which does not look at this. */
export const wellFormedInterceptor: Interceptor = (next) => (req) => {
  if (!req.stream && !definitionRequests.has(req.method.input.typeName)) {
    const error = findIllFormedText(req.message);
    if (error !== undefined) {
      throw error;
    }
  }
  return next(req);
};
