/** What a reference begins with. */
export type Root =
  | { readonly kind: "task"; readonly name: string }
  | { readonly kind: "input" }
  | { readonly kind: "item" }
  | { readonly kind: "item_index" };

/** What a template refers to. */
export interface Reference {
  readonly root: Root;
  /** The keys and indexes that lead from the root to the value. */
  readonly path: readonly (string | number)[];
  /** As it is written, with the braces. */
  readonly source: string;
}

/** A piece of a text: as it is, or what stands for a value. */
export type Part = string | Reference;

/** A text cut into its pieces, or what is wrong with it. */
export type Scan = { readonly parts: readonly Part[] } | { readonly fault: string };

const identifier = /[A-Za-z_][A-Za-z0-9_-]*/y;
const index = /(?:0|[1-9][0-9]{0,8})/y;
const spaces = /[ \t\r\n]*/y;

/** How much of a reference a message shows. */
const shown = 80;

/**
 * Cuts a text into literal pieces and references, in one pass.
 *
 * `\{{` stands for the braces themselves. What a reference stands for is never looked at for further ones.
 */
export function scan(text: string): Scan {
  const parts: Part[] = [];
  let literal = "";
  let at = 0;
  for (let open = text.indexOf("{{"); open !== -1; open = text.indexOf("{{", at)) {
    if (open > at && text[open - 1] === "\\") {
      literal += `${text.slice(at, open - 1)}{{`;
      at = open + 2;
      continue;
    }
    literal += text.slice(at, open);
    const read = new ReferenceReader(text, open).read();
    if ("fault" in read) {
      return read;
    }
    if (literal !== "") parts.push(literal);
    parts.push(read.reference);
    literal = "";
    at = read.end;
  }
  literal += text.slice(at);
  if (literal !== "") parts.push(literal);
  return { parts };
}

/** Reads one reference. Each character is looked at once, by patterns that cannot go back. */
class ReferenceReader {
  readonly #text: string;
  readonly #start: number;
  #at: number;

  constructor(text: string, start: number) {
    this.#text = text;
    this.#start = start;
    this.#at = start + 2;
  }

  read(): { readonly reference: Reference; readonly end: number } | { readonly fault: string } {
    this.#take(spaces);
    const plain = this.#take(identifier);
    const first = plain || this.#bracket();
    if (first === undefined || first === "") {
      return this.#fault('write the name of a task, or ["its.name"] in brackets');
    }
    const steps: (string | number)[] = [];
    for (;;) {
      const char = this.#text[this.#at];
      if (char !== "." && char !== "[") break;
      if (char === ".") this.#at++;
      const step = char === "." ? this.#take(identifier) || undefined : this.#bracket();
      if (step === undefined) {
        return this.#fault('after a name come .key, ["any key"] or [0]');
      }
      steps.push(step);
    }
    this.#take(spaces);
    if (!this.#text.startsWith("}}", this.#at)) {
      return this.#fault("close it with }}; there are no expressions");
    }
    this.#at += 2;
    return this.#toReference(first, plain !== "", steps);
  }

  #toReference(first: string | number, isPlain: boolean, steps: (string | number)[]) {
    const source = this.#text.slice(this.#start, this.#at);
    const end = this.#at;
    if (isPlain && (first === "input" || first === "item" || first === "item_index")) {
      return { reference: { root: { kind: first }, path: steps, source } as Reference, end };
    }
    if (typeof first === "number") {
      return this.#fault("a task is named by a text");
    }
    if (steps[0] !== "output") {
      return this.#fault(`of a task there is .output, as in {{${isPlain ? first : `["${first}"]`}.output}}`);
    }
    const root = { kind: "task", name: first } as const;
    return { reference: { root, path: steps.slice(1), source }, end };
  }

  /** Reads `["key"]` or `[0]`. */
  #bracket(): string | number | undefined {
    if (this.#text[this.#at] !== "[") {
      return undefined;
    }
    this.#at++;
    let value: string | number | undefined;
    if (this.#text[this.#at] === '"') {
      value = this.#quoted();
    } else {
      const digits = this.#take(index);
      value = digits === "" ? undefined : Number(digits);
    }
    if (value === undefined || this.#text[this.#at] !== "]") {
      return undefined;
    }
    this.#at++;
    return value;
  }

  #quoted(): string | undefined {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') {
      end += this.#text[end] === "\\" ? 2 : 1;
    }
    this.#at = end + 1;
    try {
      return JSON.parse(this.#text.slice(start, end + 1));
    } catch {
      return undefined;
    }
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [found = ""] = pattern.exec(this.#text) ?? [];
    this.#at += found.length;
    return found;
  }

  #fault(advice: string): { readonly fault: string } {
    const seen = this.#text.slice(this.#start, this.#start + shown).replace(/\s+/g, " ");
    return {
      fault: `${seen}${this.#text.length > this.#start + shown ? "…" : ""} is no template: ${advice}`,
    };
  }
}
