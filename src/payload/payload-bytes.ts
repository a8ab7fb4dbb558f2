import { isUtf8 } from "node:buffer";
import { payloadLimits } from "./payload.ts";

/** Up to how many bytes an encoded payload is read here: it has too few for too many values, at four bytes each. */
const maxBytes = 8192;

/** Up to how many members of one object are read here. */
const maxMembers = 32;

// The tags of the fields of google.protobuf.Value, and of what is in ListValue and Struct.
const nullTag = 0x08;
const numberTag = 0x11;
const stringTag = 0x1a;
const boolTag = 0x20;
const structTag = 0x2a;
const listTag = 0x32;
const itemTag = 0x0a;
const keyTag = 0x0a;
const memberTag = 0x12;

const quote = 0x22;
const backslash = 0x5c;

/** Thrown for what is not sure to be right. */
const unsure = new Error("not sure to be a payload");

/**
 * Returns the canonical JSON text of a payload from its encoding, the bytes of a `google.protobuf.Value`.
 *
 * Decoding makes objects for each value, and writing those as text makes more: together many times the memory of the
 * text, and a good part of all that it costs to create a record.
 *
 * @returns undefined if it is large, unusual or not right; which of them, only decoding tells
 */
export function readPayloadText(bytes: Buffer, start: number, end: number): string | undefined {
  if (end - start > maxBytes) {
    return undefined;
  }
  try {
    return new Transcriber(bytes, start).transcribe(end);
  } catch (error) {
    if (error === unsure) return undefined;
    throw error;
  }
}

/** The JSON, in UTF-8. A control character takes six times its bytes, and nothing takes more. */
const json = Buffer.allocUnsafeSlow(6 * maxBytes);

/** Where a member of an object stands: its key, and its value, which ends where the member does. */
interface Member {
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly start: number;
  readonly end: number;
}

/** Reads an encoded payload from a place on, and writes its JSON. */
class Transcriber {
  readonly #bytes: Buffer;
  #place: number;
  #length = 0;
  #isAscii = true;

  constructor(bytes: Buffer, place: number) {
    this.#bytes = bytes;
    this.#place = place;
  }

  transcribe(end: number): string {
    this.#value(end, 1);
    return json.toString(this.#isAscii ? "latin1" : "utf8", 0, this.#length);
  }

  #value(end: number, depth: number): void {
    const tag = this.#place < end ? this.#bytes[this.#place] : undefined;
    switch (tag) {
      case nullTag:
      case boolTag:
        this.#constant(tag, end);
        break;
      case numberTag:
        this.#number(end);
        break;
      case stringTag:
        this.#string(this.#enter(stringTag, end));
        break;
      case listTag:
        this.#list(this.#enter(listTag, end), depth);
        break;
      case structTag:
        this.#struct(this.#enter(structTag, end), depth);
        break;
      default:
        throw unsure;
    }
    if (this.#place !== end) throw unsure;
  }

  /** Goes into what has a tag and a length, and returns its end. */
  #enter(tag: number, limit: number): number {
    if (this.#bytes[this.#place++] !== tag) throw unsure;
    let length = this.#bytes[this.#place++]!;
    if (length >= 0x80) {
      const more = this.#bytes[this.#place++]!;
      if (more >= 0x80) throw unsure;
      length = (length & 0x7f) | (more << 7);
    }
    const end = this.#place + length;
    // It is not a number if the bytes have ended.
    if (!(end <= limit)) throw unsure;
    return end;
  }

  #constant(tag: number, end: number): void {
    const value = this.#bytes[this.#place + 1]!;
    if (end - this.#place !== 2 || value > (tag === boolTag ? 1 : 0)) throw unsure;
    this.#put(tag === nullTag ? "null" : value === 1 ? "true" : "false");
    this.#place = end;
  }

  #number(end: number): void {
    if (end - this.#place !== 9) throw unsure;
    const value = this.#bytes.readDoubleLE(this.#place + 1);
    if (!Number.isFinite(value)) throw unsure;
    this.#put(String(value));
    this.#place = end;
  }

  #string(end: number): void {
    const start = this.#place;
    this.#place = end;
    if (this.#isPlain(start, end)) {
      this.#quote(start, end);
      return;
    }
    const bytes = this.#bytes.subarray(start, end);
    if (!isUtf8(bytes) || bytes.includes(0)) throw unsure;
    this.#isAscii = false;
    this.#length += json.write(JSON.stringify(bytes.toString()), this.#length);
  }

  #list(end: number, depth: number): void {
    if (depth > payloadLimits.depth) throw unsure;
    this.#put("[");
    for (const start = this.#place; this.#place < end; ) {
      if (this.#place > start) this.#put(",");
      this.#value(this.#enter(itemTag, end), depth + 1);
    }
    this.#put("]");
  }

  #struct(end: number, depth: number): void {
    if (depth > payloadLimits.depth) throw unsure;
    const members: Member[] = [];
    while (this.#place < end) this.#insert(members, this.#member(end));
    this.#put("{");
    const first = members[0];
    for (const member of members) {
      if (member !== first) this.#put(",");
      this.#quote(member.keyStart, member.keyEnd);
      this.#put(":");
      this.#place = member.start;
      this.#value(member.end, depth + 1);
    }
    this.#place = end;
    this.#put("}");
  }

  #member(limit: number): Member {
    const end = this.#enter(itemTag, limit);
    const keyEnd = this.#enter(keyTag, end);
    const keyStart = this.#place;
    if (!this.#isPlain(keyStart, keyEnd)) throw unsure;
    this.#place = keyEnd;
    if (this.#enter(memberTag, end) !== end) throw unsure;
    const start = this.#place;
    this.#place = end;
    return { keyStart, keyEnd, start, end };
  }

  /** Puts a member among those before it, which are in the order of their keys. */
  #insert(members: Member[], member: Member): void {
    let index = members.length;
    if (index === maxMembers) throw unsure;
    for (; index > 0; index--) {
      const before = members[index - 1]!;
      const order = this.#compareKeys(before, member);
      // The later one of two members with the same key counts.
      if (order === 0) throw unsure;
      if (order < 0) break;
      members[index] = before;
    }
    members[index] = member;
  }

  #compareKeys(a: Member, b: Member): number {
    const length = Math.min(a.keyEnd - a.keyStart, b.keyEnd - b.keyStart);
    for (let index = 0; index < length; index++) {
      const order = this.#bytes[a.keyStart + index]! - this.#bytes[b.keyStart + index]!;
      if (order !== 0) return order;
    }
    return a.keyEnd - a.keyStart - (b.keyEnd - b.keyStart);
  }

  /** Reports whether a text is ASCII that JSON writes as it is. */
  #isPlain(start: number, end: number): boolean {
    for (let place = start; place < end; place++) {
      const byte = this.#bytes[place]!;
      if (byte < 0x20 || byte > 0x7e || byte === quote || byte === backslash) return false;
    }
    return true;
  }

  /** Writes plain text from what is read. */
  #quote(start: number, end: number): void {
    json[this.#length++] = quote;
    for (let place = start; place < end; place++) json[this.#length++] = this.#bytes[place]!;
    json[this.#length++] = quote;
  }

  #put(text: string): void {
    for (let index = 0; index < text.length; index++) json[this.#length++] = text.charCodeAt(index);
  }
}
