import { Composer, type CST, type Document, isScalar, Lexer, type ParsedNode, Parser } from "yaml";
import { oneLine } from "../server/text.ts";
import { describeCharacter, unprintable } from "./characters.ts";
import { definitionLimits } from "./definition-limits.ts";
import { type ProblemList, quote } from "./problem-list.ts";
import { createFollow, type Follow } from "./yaml-aliases.ts";

/** What a text describes. */
export interface YamlTree {
  readonly root: ParsedNode;
  readonly follow: Follow;
}

/**
 * Reads a text as one YAML 1.2 document. Undefined, and problems, if it is none, or one too large or too deep.
 *
 * It is the library's parser in its parts, so that we come between: parseDocument compares each key of a map
 * with all others, and builds what is nested deep before its stack overflows, each for seconds.
 */
export function readYaml(text: string, problems: ProblemList): YamlTree | undefined {
  if (!isText(text, problems)) {
    return undefined;
  }
  const tokens = tokenize(text, problems);
  const document = tokens && compose(tokens, text.length);
  if (!document || !isYaml(document, text, problems)) {
    return undefined;
  }
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) {
    problems.add(
      { offset: 0, path: "" },
      "empty_document",
      () => "is empty; write the name and the tasks of a flow",
    );
    return undefined;
  }
  return { root, follow: createFollow(document, problems) };
}

function isText(text: string, problems: ProblemList): boolean {
  const bytes = Buffer.byteLength(text);
  if (bytes > definitionLimits.bytes) {
    problems.add(
      { offset: 0, path: "" },
      "too_large",
      () => `${bytes} bytes are more than the limit of ${definitionLimits.bytes}; split the flow`,
    );
    return false;
  }
  for (const { index, 0: char } of text.matchAll(new RegExp(unprintable, "gu"))) {
    problems.add({ offset: index, path: "" }, "bad_characters", () => describeCharacter(char));
  }
  return problems.isEmpty;
}

/** Returns the tokens of the first document. Undefined, and a problem, if it is too deep. */
function tokenize(text: string, problems: ProblemList): CST.Token[] | undefined {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) {
      tokens.push(token);
    }
    if (isTooDeep(parser.stack)) {
      problems.add(
        { offset: parser.stack.at(-1)!.offset, path: "" },
        "too_deep",
        () => `more than ${definitionLimits.depth} lists and maps inside each other`,
      );
      return undefined;
    }
  }
  tokens.push(...parser.end());
  const second = tokens.filter((token) => token.type === "document")[1];
  if (!second) {
    return tokens;
  }
  problems.add(
    { offset: second.offset, path: "" },
    "multiple_documents",
    () => "a second YAML document begins here; send each flow by itself",
  );
  return tokens.slice(0, tokens.indexOf(second));
}

function isTooDeep(stack: readonly CST.Token[]): boolean {
  const { depth } = definitionLimits;
  return stack.length > depth && stack.filter((token) => "items" in token).length > depth;
}

function compose(tokens: CST.Token[], length: number): Document.Parsed {
  const { stackTraceLimit } = Error;
  // Without this each of the problems records a stack: eight seconds for a text that has a million.
  Error.stackTraceLimit = 0;
  try {
    const composer = new Composer({
      schema: "core",
      merge: false,
      resolveKnownTags: false,
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: "silent",
    });
    // It makes an empty document if there are no tokens.
    const [document] = composer.compose(tokens, true, length);
    return document!;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Reports whether the tree can be relied on. An unknown tag is a problem, but leaves the tree as it is. */
function isYaml({ errors, warnings }: Document.Parsed, text: string, problems: ProblemList): boolean {
  for (const { code, pos, message } of [...errors, ...warnings]) {
    const place = { offset: pos[0], path: "" };
    if (code === "TAG_RESOLVE_FAILED") {
      const tag = () => quote(text.slice(...pos));
      problems.add(place, "unknown_tag", () => `the YAML tag ${tag()} does not fit here; leave it out`);
    } else {
      problems.add(place, "yaml_syntax", () => `not YAML 1.2: ${oneLine(message, 200)}`);
    }
  }
  return errors.length === 0;
}
