import { fromBinary } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";

/** A payload of which the text is known. What is in it is decoded when somebody asks. */
export class ReadPayload implements Value {
  readonly $typeName = "google.protobuf.Value";
  /** The canonical JSON text, which keeps the limits. */
  readonly text: string;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  #kind: Value["kind"] | undefined;

  /** @param bytes hold the encoding, from `start` to `end` */
  constructor(text: string, bytes: Uint8Array, start: number, end: number) {
    this.text = text;
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  get kind(): Value["kind"] {
    this.#kind ??= fromBinary(ValueSchema, this.#bytes.subarray(this.#start, this.#end)).kind;
    return this.#kind;
  }
}
