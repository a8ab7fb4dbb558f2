import { isMap, isScalar, isSeq, type ParsedNode } from "yaml";
import { oneLine } from "../server/text.ts";
import { countCharacters } from "./characters.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { nearest } from "./nearest.ts";
import { type Place, type ProblemList, quote } from "./problem-list.ts";
import type { Follow, Value } from "./yaml-aliases.ts";
import { type JsonValue, readJson } from "./yaml-json.ts";
import { member } from "./yaml-path.ts";
import type { YamlTree } from "./yaml-tree.ts";

/** A text of the document. */
export interface Text extends Place {
  readonly text: string;
}

/** The keys a map may have, and whether it must have them. */
type Keys = Readonly<Record<string, "required" | "optional">>;

/** What a text must be like. */
export interface TextRule {
  /** The length in Unicode code points. */
  readonly min: number;
  readonly max: number;
  /** Says what is wrong with the characters, if anything is. */
  readonly findFault: (text: string) => string | undefined;
}

/** What a number must be like. */
export interface NumberRule {
  readonly min: number;
  readonly max: number;
  readonly isInteger: boolean;
}

/** Reads maps, lists and texts. What it cannot read it adds to the problems, and goes on. */
export class YamlReader {
  readonly root: Value;
  readonly #follow: Follow;
  readonly #problems: ProblemList;

  constructor({ root, follow }: YamlTree, problems: ProblemList) {
    this.root = { node: root, offset: root.range[0], path: "" };
    this.#follow = follow;
    this.#problems = problems;
  }

  /** Returns the values of a map by their keys, as far as it may have them. */
  readMap(value: Value, keys: Keys): ReadonlyMap<string, Value> {
    const found = new Map<string, Value>();
    const map = this.#follow(value);
    if (!isMap<ParsedNode, ParsedNode | null>(map)) {
      this.#refuseType(value, map, `a map with the keys ${Object.keys(keys).join(", ")}`);
      return found;
    }
    const offsets = new Map<string, number>();
    for (const { key: keyNode, value: node } of map.items) {
      const [offset] = keyNode.range;
      const key = isScalar(keyNode) ? keyNode.value : undefined;
      if (typeof key !== "string") {
        this.#refuseType({ offset, path: value.path }, keyNode, "a text, being a key", quoteAdvice(keyNode));
        continue;
      }
      const place = { offset, path: member(value.path, key) };
      const first = offsets.get(key);
      if (first !== undefined) {
        const where = () => this.#problems.describePosition(first);
        this.#problems.add(place, "duplicate_key", () => `the key is already at ${where()}; remove one`);
        continue;
      }
      offsets.set(key, offset);
      if (Object.hasOwn(keys, key)) {
        found.set(key, { node, offset: node?.range[0] ?? offset, path: place.path });
      } else {
        this.#problems.add(place, "unknown_key", () => describeUnknownKey(key, Object.keys(keys)));
      }
    }
    for (const [key, need] of Object.entries(keys)) {
      if (need === "required" && !offsets.has(key)) {
        this.#problems.add(value, "missing_key", () => `has no ${quote(key)}; add it`);
      }
    }
    return found;
  }

  /** Returns the items of a list. */
  readList(value: Value, wanted: string): Value[] | undefined {
    const node = this.#follow(value);
    if (!isSeq<ParsedNode>(node)) {
      this.#refuseType(value, node, wanted);
      return undefined;
    }
    return node.items.map((item, index) => ({
      node: item,
      offset: item.range[0],
      path: `${value.path}[${index}]`,
    }));
  }

  /** Returns a text, even one that breaks its rule, so that what refers to it still finds it. */
  readText(value: Value, rule?: TextRule): Text | undefined {
    const node = this.#follow(value);
    if (!isScalar(node) || typeof node.value !== "string") {
      this.#refuseType(value, node, "a text", quoteAdvice(node));
      return undefined;
    }
    const text = node.value;
    const place = { offset: value.offset, path: value.path };
    const length = countCharacters(text);
    if (rule && (length < rule.min || length > rule.max)) {
      const is = length === 0 ? "is empty" : `has ${length} characters`;
      this.#problems.add(place, "bad_length", () => `${is}; write ${rule.min} to ${rule.max}`);
    }
    const fault = rule?.findFault(text);
    if (fault) {
      this.#problems.add(place, "bad_characters", () => fault);
    }
    return { text, ...place };
  }

  /** Returns a number within bounds. */
  readNumber(value: Value, { min, max, isInteger }: NumberRule): number | undefined {
    const node = this.#follow(value);
    const number = isScalar(node) ? node.value : undefined;
    if (typeof number !== "number") {
      this.#refuseType(value, node, "a number");
      return undefined;
    }
    if (!(number >= min && number <= max) || (isInteger && !Number.isInteger(number))) {
      const kind = isInteger ? "an integer" : "a number";
      this.#problems.add(value, "bad_number", () => `must be ${kind} from ${min} to ${max}`);
      return undefined;
    }
    return number;
  }

  /** Returns a duration in milliseconds. */
  readDuration(
    value: Value,
    { min, max }: { readonly min: number; readonly max: number },
  ): number | undefined {
    const text = this.readText(value);
    if (text === undefined) {
      return undefined;
    }
    const ms = parseDuration(text.text);
    if (ms === undefined || ms < min || ms > max) {
      const range = `${formatDuration(min)} to ${formatDuration(max)}`;
      this.#problems.add(value, "bad_duration", () => `must be a duration of ${range}, such as 10s or 1h30m`);
      return undefined;
    }
    return ms;
  }

  /** Returns one of some texts. */
  readChoice<T extends string>(value: Value, choices: readonly T[]): T | undefined {
    const text = this.readText(value);
    const choice = choices.find((candidate) => candidate === text?.text);
    if (text !== undefined && choice === undefined) {
      this.#problems.add(value, "bad_choice", () => `must be ${choices.join(" or ")}`);
    }
    return choice;
  }

  /** Returns any value as JSON. */
  readJson(value: Value): JsonValue | undefined {
    return readJson(value, this.#follow, this.#problems);
  }

  /** @param node what is there instead, or undefined if an alias stands for nothing and was refused for it */
  #refuseType(place: Place, node: ParsedNode | null | undefined, wanted: string, advice = ""): void {
    if (node !== undefined) {
      this.#problems.add(place, "wrong_type", () => `must be ${wanted}, but is ${describe(node)}${advice}`);
    }
  }
}

/** YAML takes what looks like a number or true or false for one, and not for a text. */
function quoteAdvice(node: ParsedNode | null | undefined): string {
  return isScalar(node) && node.value !== null ? "; put it in quotes" : "";
}

function describeUnknownKey(key: string, keys: readonly string[]): string {
  if (key === "<<") {
    return "merge keys are not part of YAML 1.2; write out what it would merge";
  }
  const near = nearest(key, keys);
  const advice = near ? `did you mean ${quote(near)}?` : "remove it.";
  return `no such key here; ${advice} The keys are ${keys.join(", ")}`;
}

/** Describes what stands where a text should, a list or a map. */
function describe(node: ParsedNode | null): string {
  if (isMap(node)) {
    return "a map";
  }
  if (isSeq(node)) {
    return "a list";
  }
  if (node === null || (isScalar(node) && node.value === null)) {
    return "empty";
  }
  if (!isScalar(node)) {
    return "an alias";
  }
  return typeof node.value === "string" ? "a text" : `the ${typeof node.value} ${oneLine(node.source, 40)}`;
}
