import { create, type DescMessage, fromBinary, type MessageShape, mergeFromBinary } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { readPayloadText } from "./payload-bytes.ts";
import { ReadPayload } from "./read-payload.ts";

/** A field that is not left to the library: a payload, or a message or a list of messages that hold payloads. */
interface OwnField {
  readonly name: string;
  readonly isList: boolean;
  /** Undefined for a payload. */
  readonly message: DescMessage | undefined;
}

const ownFieldsOf = new WeakMap<DescMessage, ReadonlyMap<number, OwnField>>();

/**
 * Decodes a message as `fromBinary` does, but reads its payloads as text where it can, see {@link readPayloadText}.
 *
 * @throws what `fromBinary` throws
 */
export function decodeRequest<Desc extends DescMessage>(schema: Desc, bytes: Buffer): MessageShape<Desc> {
  const fields = findOwnFields(schema);
  try {
    return (fields.size > 0 ? decode(schema, fields, bytes) : undefined) ?? fromBinary(schema, bytes);
  } catch {
    // The library also takes messages within messages that end too late.
    return fromBinary(schema, bytes);
  }
}

function findOwnFields(schema: DescMessage): ReadonlyMap<number, OwnField> {
  let found = ownFieldsOf.get(schema);
  if (found === undefined) {
    const fields = new Map<number, OwnField>();
    // One that holds itself finds itself without any.
    ownFieldsOf.set(schema, fields);
    for (const { number, localName: name, fieldKind, message, oneof } of schema.fields) {
      const isList = fieldKind === "list";
      if (message === undefined || oneof !== undefined || !(isList || fieldKind === "message")) continue;
      if (!isList && message.typeName === ValueSchema.typeName) {
        fields.set(number, { name, isList, message: undefined });
      } else if (findOwnFields(message).size > 0) {
        fields.set(number, { name, isList, message });
      }
    }
    found = fields;
  }
  return found;
}

/** Returns the message, or undefined if it is not sure what is in it. */
function decode<Desc extends DescMessage>(
  schema: Desc,
  fields: ReadonlyMap<number, OwnField>,
  bytes: Buffer,
): MessageShape<Desc> | undefined {
  const message = create(schema);
  const values = message as Record<string, unknown>;
  // Where what is left to the library begins.
  let left = 0;
  for (let place = 0; place < bytes.length; ) {
    const end = endOfField(bytes, place);
    if (end === undefined) {
      return undefined;
    }
    const field = fields.get(bytes[place]! >> 3);
    if (field !== undefined) {
      const start = startOfContent(bytes, place);
      if (start === undefined) return undefined;
      const { name, isList, message: inner } = field;
      // What is there twice is put together.
      if (!isList && values[name] !== undefined) return undefined;
      if (inner === undefined) {
        const text = readPayloadText(bytes, start, end);
        if (text === undefined) return undefined;
        values[name] = new ReadPayload(text, bytes, start, end);
      } else {
        const value = decodeRequest(inner, bytes.subarray(start, end));
        if (isList) (values[name] as unknown[]).push(value);
        else values[name] = value;
      }
      if (left < place) mergeFromBinary(schema, message, bytes.subarray(left, place));
      left = end;
    }
    place = end;
  }
  if (left < bytes.length) mergeFromBinary(schema, message, bytes.subarray(left));
  return message;
}

const varint = 0;
const lengthDelimited = 2;
const lengthBytes = 4;

/** Returns where the content of a field begins, undefined if it has no length. */
function startOfContent(bytes: Buffer, place: number): number | undefined {
  return (bytes[place]! & 7) === lengthDelimited ? endOfVarint(bytes, place + 1) : undefined;
}

/** Returns where a field ends, undefined if it is unusual. */
function endOfField(bytes: Buffer, place: number): number | undefined {
  const tag = bytes[place]!;
  const end = endOfVarint(bytes, place + 1);
  if (tag > 0x7f || end > bytes.length) {
    return undefined;
  }
  switch (tag & 7) {
    case varint:
      return end;
    case lengthDelimited: {
      if (end - place > 1 + lengthBytes) return undefined;
      let length = 0;
      for (let last = end - 1; last > place; last--) length = length * 0x80 + (bytes[last]! & 0x7f);
      return end + length <= bytes.length ? end + length : undefined;
    }
    default:
      return undefined;
  }
}

function endOfVarint(bytes: Buffer, place: number): number {
  let end = place;
  while (bytes[end]! > 0x7f) end++;
  return end + 1;
}
