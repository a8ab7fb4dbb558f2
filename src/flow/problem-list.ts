import { LineCounter } from "yaml";
import { oneLine } from "../server/text.ts";
import { definitionLimits } from "./definition-limits.ts";
import type { Problem, ProblemCode } from "./definition-problems.ts";

/** Where in a definition something stands. */
export interface Place {
  /** The offset into the text, in UTF-16 units. */
  readonly offset: number;
  /** The path, as {@link Problem.path}. */
  readonly path: string;
}

interface Draft extends Place {
  readonly code: ProblemCode;
  readonly message: () => string;
}

/** One more than are reported: where it stands is said, and how many there are from there on. */
const mostDrafts = definitionLimits.problems + 1;

/**
 * The problems of one text.
 *
 * It keeps only the first ones by position, and makes messages for no others, so that a text with a million
 * mistakes costs little more than one with a hundred.
 */
export class ProblemList {
  readonly #text: string;
  readonly #drafts: Draft[] = [];
  #leftOut = 0;
  #lines: LineCounter | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  get isEmpty(): boolean {
    return this.#drafts.length === 0;
  }

  add({ offset, path }: Place, code: ProblemCode, message: () => string): void {
    this.#drafts.push({ offset, path, code, message });
    if (this.#drafts.length >= 10 * mostDrafts) {
      this.#leaveOut();
    }
  }

  /** Returns the problems by position; if there are too many, the last one says so. */
  toProblems(): Problem[] {
    this.#leaveOut();
    return this.#drafts.map(({ offset, path, code, message }, index) => {
      const position = this.positionOf(offset);
      return index < definitionLimits.problems
        ? { path, ...position, code, message: message() }
        : { path, ...position, code: "too_many_problems", message: this.#describeRest() };
    });
  }

  /** Returns where an offset is, for a message. */
  describePosition(offset: number): string {
    const { line, column } = this.positionOf(offset);
    return `line ${line}, column ${column}`;
  }

  #leaveOut(): void {
    this.#drafts.sort((a, b) => a.offset - b.offset);
    this.#leftOut += this.#drafts.splice(mostDrafts).length;
  }

  #describeRest(): string {
    const count = this.#leftOut + 1;
    return `from here on there are ${count} more problems; correct the ${definitionLimits.problems} before first`;
  }

  /** Returns where an offset is, from 1. */
  positionOf(offset: number): { line: number; column: number } {
    this.#lines ??= countLines(this.#text);
    const { line, col } = this.#lines.linePos(Math.min(Math.max(offset, 0), this.#text.length));
    return { line, column: col };
  }
}

/** Counts lines apart from the parser, which does not come to the end of every text. */
function countLines(text: string): LineCounter {
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) {
    lines.addNewLine(at + 1);
  }
  return lines;
}

/** Shows text from a definition in a message: on one line, and cut. */
export function quote(text: string): string {
  return `"${oneLine(text, 80)}"`;
}
