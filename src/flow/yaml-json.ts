import { isMap, isScalar, isSeq, type ParsedNode } from "yaml";
import { payloadLimits } from "../payload/payload.ts";
import type { Json } from "../template/json.ts";
import { findTextFault } from "./characters.ts";
import type { Place, ProblemList } from "./problem-list.ts";
import type { Follow, Value } from "./yaml-aliases.ts";
import { member } from "./yaml-path.ts";

/** A text within a value: where it stands in the document. */
export type Places = ReadonlyMap<string, Place>;

/** A value of the document as JSON, and where each of its texts stands, by the JSON of the path within it. */
export interface JsonValue extends Place {
  readonly json: Json;
  readonly places: Places;
}

/**
 * Converts a part of a document to JSON, within the limits of payloads. Undefined, and problems, if it cannot be.
 */
export function readJson(value: Value, follow: Follow, problems: ProblemList): JsonValue | undefined {
  const reader = new JsonReader(follow, problems);
  const json = reader.read(value, 1, []);
  return reader.failed || json === undefined
    ? undefined
    : { json, places: reader.places, offset: value.offset, path: value.path };
}

class JsonReader {
  readonly places = new Map<string, Place>();
  readonly #follow: Follow;
  readonly #problems: ProblemList;
  #values = 0;
  failed = false;

  constructor(follow: Follow, problems: ProblemList) {
    this.#follow = follow;
    this.#problems = problems;
  }

  read(value: Value, depth: number, at: readonly (string | number)[]): Json | undefined {
    if (this.failed) {
      return undefined;
    }
    const node = this.#follow(value);
    if (node === undefined) {
      this.failed = true;
      return undefined;
    }
    if (++this.#values > payloadLimits.values) {
      return this.#fail(value, "bad_length", `has more than ${payloadLimits.values} values`);
    }
    if (depth > payloadLimits.depth && !isScalar(node)) {
      return this.#fail(
        value,
        "too_deep",
        `more than ${payloadLimits.depth} lists and maps inside each other`,
      );
    }
    if (isSeq<ParsedNode>(node)) {
      return node.items.map(
        (item, index) =>
          this.read({ node: item, offset: item.range[0], path: `${value.path}[${index}]` }, depth + 1, [
            ...at,
            index,
          ]) ?? null,
      );
    }
    if (isMap<ParsedNode, ParsedNode | null>(node)) {
      return this.#readMap(node.items, value, depth, at);
    }
    return this.#readScalar(node, value, at);
  }

  #readMap(
    items: readonly { key: ParsedNode; value: ParsedNode | null }[],
    value: Value,
    depth: number,
    at: readonly (string | number)[],
  ): Json {
    const members = new Map<string, Json>();
    for (const { key: keyNode, value: node } of items) {
      const [offset] = keyNode.range;
      const key = isScalar(keyNode) ? keyNode.value : undefined;
      if (typeof key !== "string") {
        this.#fail({ offset, path: value.path }, "wrong_type", "a key must be a text; put it in quotes");
        return null;
      }
      const place = { offset: node?.range[0] ?? offset, path: member(value.path, key) };
      if (members.has(key)) {
        this.#fail({ offset, path: place.path }, "duplicate_key", "the key is there already; remove one");
      }
      const fault = findTextFault(key);
      if (fault) this.#fail({ offset, path: value.path }, "bad_characters", fault);
      members.set(key, this.read({ node, ...place }, depth + 1, [...at, key]) ?? null);
    }
    // Object.fromEntries defines own properties, so that a key "__proto__" stays a key.
    return Object.fromEntries(members);
  }

  #readScalar(node: ParsedNode | null, value: Value, at: readonly (string | number)[]): Json | undefined {
    const scalar = isScalar(node) ? node.value : null;
    switch (typeof scalar) {
      case "string": {
        const fault = findTextFault(scalar);
        if (fault) return this.#fail(value, "bad_characters", fault);
        this.places.set(JSON.stringify(at), { offset: value.offset, path: value.path });
        return scalar;
      }
      case "number":
        return Number.isFinite(scalar)
          ? scalar
          : this.#fail(value, "bad_number", "is not a number that JSON has; put it in quotes");
      case "boolean":
        return scalar;
      default:
        return scalar === null || scalar === undefined
          ? null
          : this.#fail(value, "wrong_type", "has no counterpart in JSON; put it in quotes");
    }
  }

  #fail(
    place: Place,
    code: "bad_length" | "too_deep" | "wrong_type" | "duplicate_key" | "bad_characters" | "bad_number",
    message: string,
  ): undefined {
    this.failed = true;
    this.#problems.add(place, code, () => message);
  }
}
