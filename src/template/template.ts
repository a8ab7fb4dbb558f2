import type { Json } from "./json.ts";
import { type Reference, type Root, scan } from "./scanner.ts";

export type { Reference };

/** What a template may come to at most: bytes of JSON, and how often it may refer to something. */
export const templateLimits = { bytes: 1_048_576, references: 1000 } as const;

/** Where in a value something is. */
export type At = readonly (string | number)[];

/** A text that is no template, though it looks like one. */
export interface TemplateFault {
  readonly message: string;
  readonly at: At;
}

/** Returns what the templates in a value refer to, and what is wrong with them. */
export function inspect(value: Json): {
  readonly references: readonly (Reference & { readonly at: At })[];
  readonly faults: readonly TemplateFault[];
} {
  const references: (Reference & { at: At })[] = [];
  const faults: TemplateFault[] = [];
  walk(value, [], (text, at) => {
    const scanned = scan(text);
    if ("fault" in scanned) {
      faults.push({ message: scanned.fault, at });
      return;
    }
    for (const part of scanned.parts) {
      if (typeof part !== "string") references.push({ ...part, at });
    }
  });
  if (references.length > templateLimits.references) {
    const message = `${references.length} references are more than the limit of ${templateLimits.references}`;
    faults.push({ message, at: references[templateLimits.references]!.at });
  }
  return { references, faults };
}

/** Calls a function for each text with braces. Values are no deeper than payloads may be. */
function walk(value: Json, at: At, visit: (text: string, at: At) => void): void {
  if (typeof value === "string") {
    if (value.includes("{{")) visit(value, at);
  } else if (Array.isArray(value)) {
    for (const [index, item] of (value as readonly Json[]).entries()) walk(item, [...at, index], visit);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, member] of Object.entries(value)) walk(member as Json, [...at, key], visit);
  }
}

/** What references stand for. */
export interface Scope {
  readonly input: Json | undefined;
  /** Returns the output of a task, undefined if it has none. */
  output(task: string): Json | undefined;
  readonly item?: Json;
  readonly itemIndex?: number;
}

/** A template that cannot be resolved. Its message names the reference as it is written, and what is missing. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
}

/**
 * Puts in a value what its templates stand for.
 *
 * A text that is nothing but one template becomes the value itself; within other text, texts are put in as they
 * are and other values as JSON. What was put in is not looked at again. Only own properties are found.
 *
 * @throws TemplateError if something is missing, or the whole becomes too large
 */
export function resolve(value: Json, scope: Scope): Json {
  return new Resolver(scope).resolve(value);
}

class Resolver {
  readonly #scope: Scope;
  #bytes = 0;
  #references = 0;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  resolve(value: Json): Json {
    if (typeof value === "string") {
      return value.includes("{{") ? this.#text(value) : value;
    }
    if (Array.isArray(value)) {
      return (value as readonly Json[]).map((item) => this.resolve(item));
    }
    if (typeof value === "object" && value !== null) {
      // Object.fromEntries defines own properties, so that a key "__proto__" stays a key.
      return Object.fromEntries(
        Object.entries(value).map(([key, member]) => [key, this.resolve(member as Json)]),
      );
    }
    return value;
  }

  #text(text: string): Json {
    const scanned = scan(text);
    if ("fault" in scanned) {
      throw new TemplateError(scanned.fault);
    }
    const { parts } = scanned;
    const [whole] = parts;
    if (parts.length === 1 && whole !== undefined && typeof whole !== "string") {
      const value = this.#find(whole);
      this.#count(whole, typeof value === "string" ? value.length : JSON.stringify(value).length);
      return value;
    }
    return parts
      .map((part) => {
        if (typeof part === "string") return part;
        const value = this.#find(part);
        const rendered = typeof value === "string" ? value : JSON.stringify(value);
        this.#count(part, rendered.length);
        return rendered;
      })
      .join("");
  }

  #count({ source }: Reference, length: number): void {
    this.#references++;
    this.#bytes += length;
    if (this.#references > templateLimits.references) {
      throw new TemplateError(`${source}: more than ${templateLimits.references} references`);
    }
    if (this.#bytes > templateLimits.bytes) {
      throw new TemplateError(
        `${source}: with this it is larger than the limit of ${templateLimits.bytes} bytes`,
      );
    }
  }

  #find(reference: Reference): Json {
    const { root, path, source } = reference;
    let value = this.#rootOf(root);
    let seen = nameOf(root);
    if (value === undefined) {
      throw new TemplateError(`${source}: there is no ${seen}`);
    }
    for (const step of path) {
      const next = member(value, step);
      if (next === undefined) {
        throw new TemplateError(`${source}: ${seen} has no ${show(step)}: it is ${describe(value)}`);
      }
      seen += show(step);
      value = next;
    }
    return value;
  }

  #rootOf(root: Root): Json | undefined {
    const { input, item, itemIndex } = this.#scope;
    switch (root.kind) {
      case "task":
        return this.#scope.output(root.name);
      case "input":
        return input;
      case "item":
        return item;
      case "item_index":
        return itemIndex;
    }
  }
}

function member(value: Json, step: string | number): Json | undefined {
  if (typeof value !== "object" || value === null) {
    return undefined;
  }
  if (Array.isArray(value)) {
    return typeof step === "number" ? (value as readonly Json[])[step] : undefined;
  }
  return Object.hasOwn(value, step) ? (value as { readonly [key: string]: Json })[step] : undefined;
}

function nameOf(root: Root): string {
  switch (root.kind) {
    case "task":
      return `output of ${JSON.stringify(root.name)}`;
    case "input":
      return "input of the run";
    default:
      return root.kind;
  }
}

function show(step: string | number): string {
  return typeof step === "number" ? `[${step}]` : `.${step}`;
}

function describe(value: Json): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value !== "object") return `a ${typeof value}`;
  const keys = Object.keys(value);
  return `an object with ${keys.length === 0 ? "no keys" : `the keys ${keys.slice(0, 10).join(", ").slice(0, 200)}`}`;
}
