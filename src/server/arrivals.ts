import { setImmediate as nextTurn } from "node:timers/promises";
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { compressedFlag } from "@connectrpc/connect/protocol";
import { decodeRequest } from "../payload/decode-request.ts";
import { headLength, promisedLength } from "./envelope.ts";
import { malformed, tooLarge, undecodable } from "./framework-error.ts";

const firstCapacity = 4096;
const empty = Buffer.alloc(0);

/** The body of a call with many messages, as it arrives. Whoever begins to read it has it. */
export interface RequestChunks {
  readonly chunks: AsyncIterable<Buffer>;
  readonly readMaxBytes: number;
}

/** Set for calls by gRPC whose messages are binary and not compressed. */
export const requestChunksKey = createContextKey<RequestChunks | undefined>(undefined, {
  description: "request chunks",
});

/**
 * Returns the messages of a stream, those together that arrived together.
 *
 * Connect takes each message by itself through ten asynchronous iterables, which costs more than to decode it. Here
 * the messages of a chunk are decoded in one go, when they are asked for; the interceptors do not see them. What is not
 * sent by gRPC as usual comes through Connect, message by message. Errors are those of Connect.
 */
export function arrivalsOf<Method extends DescMethod>(
  method: Method,
  requests: AsyncIterable<MessageShape<Method["input"]>>,
  { values }: Pick<HandlerContext, "values">,
): AsyncIterable<Iterable<MessageShape<Method["input"]>>> {
  const raw = values.get(requestChunksKey);
  return raw === undefined ? eachAlone(requests) : decodeChunks(method, raw);
}

async function* eachAlone<T>(messages: AsyncIterable<T>): AsyncGenerator<[T]> {
  for await (const message of messages) yield [message];
}

async function* decodeChunks<Method extends DescMethod>(
  method: Method,
  { chunks, readMaxBytes }: RequestChunks,
): AsyncGenerator<Iterable<MessageShape<Method["input"]>>> {
  const splitter = new EnvelopeSplitter(readMaxBytes);
  for await (const chunk of chunks) {
    yield splitter.split(chunk, (data) => decode<Method["input"]>(method.input, data));
    // Each frame of HTTP/2 is a chunk, unless those that came with it are read together, after this turn.
    await nextTurn();
  }
  splitter.finish();
}

function decode<Desc extends DescMessage>(schema: Desc, data: Buffer): MessageShape<Desc> {
  try {
    return decodeRequest(schema, data);
  } catch (error) {
    throw undecodable(schema.typeName, error instanceof Error ? error.message : String(error));
  }
}

/** Takes apart chunks of messages, each with a head of five bytes: its flags, and its length. */
class EnvelopeSplitter {
  readonly #maxBytes: number;
  /** The beginning of a message whose end has not arrived, in a buffer that grows. */
  #begun = empty;
  #size = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Yields the messages that end in a chunk. It has to be read to its end before the next one. */
  *split<T>(chunk: Buffer, parse: (data: Buffer) => T): Generator<T> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#size === 0 && chunk.length - at >= headLength) {
        const end = at + this.#lengthOf(chunk, at);
        if (end <= chunk.length) {
          const data = chunk.subarray(at + headLength, end);
          at = end;
          yield parse(data);
          continue;
        }
      }
      const wanted = this.#size < headLength ? headLength : this.#lengthOf(this.#begun, 0);
      const end = Math.min(at + wanted - this.#size, chunk.length);
      this.#keep(chunk.subarray(at, end));
      at = end;
      if (this.#size >= headLength && this.#size === this.#lengthOf(this.#begun, 0)) {
        const data = this.#begun.subarray(headLength, this.#size);
        this.#begun = empty;
        this.#size = 0;
        yield parse(data);
      }
    }
  }

  /** Says that there are no more chunks. */
  finish(): void {
    if (this.#size > 0) throw malformed("the request ended in the middle of a message");
  }

  /** Returns how long a message is that begins there, with its head. */
  #lengthOf(bytes: Uint8Array, at: number): number {
    const length = promisedLength(bytes, at);
    if (length > this.#maxBytes) throw tooLarge("request", this.#maxBytes);
    if ((bytes[at]! & compressedFlag) !== 0) {
      throw malformed("a message is compressed, but no header says how");
    }
    return headLength + length;
  }

  #keep(bytes: Uint8Array): void {
    const size = this.#size + bytes.length;
    if (size > this.#begun.length) {
      const grown = Buffer.allocUnsafe(Math.max(firstCapacity, this.#begun.length * 2, size));
      this.#begun.copy(grown, 0, 0, this.#size);
      this.#begun = grown;
    }
    this.#begun.set(bytes, this.#size);
    this.#size = size;
  }
}
