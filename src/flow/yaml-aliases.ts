import { type Document, isAlias, type ParsedNode, visit } from "yaml";
import { definitionLimits } from "./definition-limits.ts";
import { type Place, type ProblemList, quote } from "./problem-list.ts";

/** A node and where it stands; null where a map has a key and no value. */
export interface Value extends Place {
  readonly node: ParsedNode | null;
}

/**
 * Returns a node, or what it stands for if it is an alias. Undefined if it stands for nothing, or if all
 * aliases that were followed stand for too much; the first time that is a problem of its own.
 */
export type Follow = (value: Value) => ParsedNode | null | undefined;

/** Creates what follows the aliases of a document. */
export function createFollow(document: Document.Parsed, problems: ProblemList): Follow {
  let targets: ReadonlyMap<object, ParsedNode> | undefined;
  let aliased = 0;
  return ({ node, offset, path }) => {
    if (!isAlias(node)) {
      return node;
    }
    targets ??= findTargets(document);
    const target = targets.get(node);
    if (!target) {
      const anchor = quote(`&${node.source}`);
      problems.add(
        { offset, path },
        "unknown_alias",
        () => `there is no anchor ${anchor} before it; write the value`,
      );
      return undefined;
    }
    const before = aliased;
    aliased += target.range[1] - target.range[0];
    if (aliased <= definitionLimits.aliased) {
      return target;
    }
    if (before <= definitionLimits.aliased) {
      problems.add({ offset, path }, "alias_bomb", describeAliasBomb);
    }
    return undefined;
  };
}

function describeAliasBomb(): string {
  return `the aliases stand for more than ${definitionLimits.aliased} characters; write less with them`;
}

/**
 * Returns what each alias stands for: the last node before it that has its anchor.
 *
 * One walk for all of them: the library's Alias.resolve takes one for each.
 */
function findTargets(document: Document.Parsed): ReadonlyMap<object, ParsedNode> {
  const anchors = new Map<string, ParsedNode>();
  const targets = new Map<object, ParsedNode>();
  visit(document, {
    Alias: (_key, alias) => {
      const target = anchors.get(alias.source);
      if (target) {
        targets.set(alias, target);
      }
    },
    Value: (_key, node) => {
      if (node.anchor) {
        // The parser gives every node its range.
        anchors.set(node.anchor, node as ParsedNode);
      }
    },
  });
  return targets;
}
