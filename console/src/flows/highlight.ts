/** A place that is marked, counted from 1 as problems are. */
export interface Mark {
  readonly line: number;
  readonly column: number;
}

/** A part of a line that is drawn alike. */
export interface Token {
  readonly text: string;
  readonly kind: "comment" | "key" | "template" | "text" | "problem";
  /** Where in the line it begins. */
  readonly start: number;
}

const comment = /(?:^|\s)#.*$/;
const key = /^(\s*(?:- +)*)([\w$.-]+|"[^"]*"|'[^']*')(?=:(?:\s|$))/;
const template = /\{\{.*?\}\}/g;

/** Splits a line of YAML into what is drawn alike. No parser: it only has to look right. */
export function highlight(line: string, marks: readonly Mark[]): Token[] {
  const kinds: Token["kind"][] = Array.from({ length: line.length }, () => "text");
  const paint = (start: number, end: number, kind: Token["kind"]) => kinds.fill(kind, start, end);
  const found = key.exec(line);
  if (found !== null) {
    paint(found[1]!.length, found[0].length, "key");
  }
  for (const { index, 0: text } of line.matchAll(template)) {
    paint(index, index + text.length, "template");
  }
  const remark = comment.exec(line);
  if (remark !== null && !/["']/.test(line.slice(0, remark.index))) {
    paint(remark.index, line.length, "comment");
  }
  for (const { column } of marks) {
    const start = Math.min(column - 1, Math.max(0, line.length - 1));
    const word = /^[\w{}.-]+/.exec(line.slice(start))?.[0].length ?? 1;
    paint(start, start + word, "problem");
  }
  return join(line, kinds);
}

function join(line: string, kinds: readonly Token["kind"][]): Token[] {
  const tokens: Token[] = [];
  let start = 0;
  for (let index = 1; index <= line.length; index++) {
    if (index === line.length || kinds[index] !== kinds[start]) {
      tokens.push({ text: line.slice(start, index), kind: kinds[start] ?? "text", start });
      start = index;
    }
  }
  return tokens;
}
