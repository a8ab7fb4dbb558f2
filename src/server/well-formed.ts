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
  // Nearly all are well, and where a text stands matters only if it is not.
  return isWell(message, message) ? undefined : findInMessage(message, path);
}

/** Reports whether all texts of a value are well. */
function isWell(value: unknown, root?: Message): boolean {
  if (typeof value === "string") {
    return isWellText(value);
  }
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) {
    return true;
  }
  if (Array.isArray(value)) {
    return value.every((item) => isWell(item));
  }
  if (value !== root && "$typeName" in value && judgedElsewhere.has(value.$typeName as string)) {
    return true;
  }
  for (const name in value) {
    // The keys of a map are texts from outside; those of messages do no harm.
    if (name !== "$unknown" && (!isWellText(name) || !isWell(value[name as keyof typeof value]))) {
      return false;
    }
  }
  return true;
}

function isWellText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

function findInMessage(message: Message, path: string): LedgerError | undefined {
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
    return isWellText(value)
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
    return judgedElsewhere.has(value.$typeName as string) ? undefined : findInMessage(value as Message, path);
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
