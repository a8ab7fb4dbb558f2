import { create } from "@bufbuild/protobuf";
import { ListValueSchema, NullValue, StructSchema, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { LedgerError } from "../errors.ts";
import type { Json } from "../template/json.ts";
import { ReadPayload } from "./read-payload.ts";

/**
 * What a payload may be at most.
 *
 * 30 levels, because C++ and Python decoders stop at 100 and spend three on each JSON object; 10,000
 * values, because each costs far more memory than its bytes.
 */
export const payloadLimits = { bytes: 1_048_576, depth: 30, values: 10_000 } as const;

/** Up to how many keys are sorted by comparing each with those before it. */
const fewKeys = 16;

/**
 * Converts a payload to canonical JSON text: keys sorted, no white space, `-0` as `0` (RFC 8785).
 *
 * Two payloads are the same if and only if their texts are.
 *
 * @param field the path of the field, for the error
 * @throws LedgerError PAYLOAD_REFUSED if it breaks a limit or holds something that JSON or PostgreSQL cannot
 */
export function toPayloadText(value: Value, field: string): string {
  if (value instanceof ReadPayload) {
    return value.text;
  }
  const state = { values: 0, field };
  const text = write(value, 1, state);
  const bytes = Buffer.byteLength(text);
  if (bytes > payloadLimits.bytes) {
    throw tooLarge(field, `${bytes} bytes of JSON are`, bytes, payloadLimits.bytes);
  }
  return text;
}

interface State {
  values: number;
  readonly field: string;
}

function write(value: Value, depth: number, state: State): string {
  if (++state.values > payloadLimits.values) {
    throw tooLarge(state.field, `${state.values} values or more are`, state.values, payloadLimits.values);
  }
  const { kind } = value;
  switch (kind.case) {
    case "nullValue":
      return "null";
    case "boolValue":
      return kind.value ? "true" : "false";
    case "numberValue":
      if (!Number.isFinite(kind.value)) {
        throw refused(state.field, `${kind.value} is not a JSON number; send it as a string`);
      }
      return String(kind.value);
    case "stringValue":
      return writeText(kind.value, state);
    case "listValue": {
      enter(depth, state);
      let text = "";
      for (const item of kind.value.values) {
        text += `${text && ","}${write(item, depth + 1, state)}`;
      }
      return `[${text}]`;
    }
    case "structValue": {
      enter(depth, state);
      const { fields } = kind.value;
      let text = "";
      for (const key of sortedKeys(fields)) {
        text += `${text && ","}${writeText(key, state)}:${write(fields[key]!, depth + 1, state)}`;
      }
      return `{${text}}`;
    }
    default:
      throw refused(
        state.field,
        "a google.protobuf.Value without a kind is no JSON value; for JSON null set null_value",
      );
  }
}

/** Returns the keys of an object in the order of their UTF-16 units. */
function sortedKeys(fields: object): string[] {
  const keys = Object.keys(fields);
  // The engine sets aside a kilobyte for a sort, more than all else that writing a small object takes.
  return keys.length > fewKeys ? keys.sort() : insertionSort(keys);
}

function insertionSort(keys: string[]): string[] {
  for (let end = 1; end < keys.length; end++) {
    const key = keys[end]!;
    let place = end;
    for (; place > 0 && keys[place - 1]! > key; place--) keys[place] = keys[place - 1]!;
    keys[place] = key;
  }
  return keys;
}

function enter(depth: number, state: State): void {
  if (depth > payloadLimits.depth) {
    throw tooLarge(state.field, `${depth} levels or more are`, depth, payloadLimits.depth);
  }
}

function writeText(text: string, state: State): string {
  if (!text.isWellFormed()) {
    throw refused(state.field, "a text holds half of a surrogate pair; send well-formed Unicode");
  }
  if (text.includes("\0")) {
    throw refused(state.field, "a text holds U+0000, which cannot be stored; leave it out");
  }
  return JSON.stringify(text);
}

function refused(field: string, description: string, metadata: Record<string, string> = {}): LedgerError {
  return new LedgerError("PAYLOAD_REFUSED", `${field}: ${description}`, {
    metadata,
    violations: [{ field, description }],
  });
}

function tooLarge(field: string, what: string, size: number, limit: number): LedgerError {
  return refused(field, `${what} more than the limit of ${limit}; store it elsewhere and report where`, {
    limit: String(limit),
    size: String(size),
  });
}

/** Converts stored JSON text back to a payload. */
export function fromPayloadText(text: string): Value {
  return fromJson(JSON.parse(text));
}

/** Converts JSON to a payload. Deeper than a payload may be it must not be. */
export function fromJson(json: Json): Value {
  switch (typeof json) {
    case "boolean":
      return create(ValueSchema, { kind: { case: "boolValue", value: json } });
    case "number":
      return create(ValueSchema, { kind: { case: "numberValue", value: json } });
    case "string":
      return create(ValueSchema, { kind: { case: "stringValue", value: json } });
  }
  if (json === null) {
    return create(ValueSchema, { kind: { case: "nullValue", value: NullValue.NULL_VALUE } });
  }
  if (Array.isArray(json)) {
    const value = create(ListValueSchema, { values: (json as readonly Json[]).map(fromJson) });
    return create(ValueSchema, { kind: { case: "listValue", value } });
  }
  const value = create(StructSchema);
  // Object.fromEntries defines own properties, so that a key "__proto__" stays a key.
  value.fields = Object.fromEntries(Object.entries(json).map(([key, member]) => [key, fromJson(member)]));
  return create(ValueSchema, { kind: { case: "structValue", value } });
}
