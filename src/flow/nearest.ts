import { distance } from "fastest-levenshtein";

/** More edits than this make another name, however long it is. */
const mostEdits = 4;

/**
 * How many steps of comparing one finder may take: about a tenth of a second. Ten thousand names of 40
 * characters take one of these millions, so that only a hostile request runs out.
 */
const mostSteps = 20_000_000;

/**
 * Returns the candidate that someone who wrote `name` most likely meant, or undefined if none is near.
 *
 * Near is at most one edit for every three UTF-16 units of `name`, and at most four. Case and Unicode
 * normalization do not count. Of equally near ones the first wins.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  return createNearest(candidates)(name);
}

/**
 * Creates a finder that answers as {@link nearest} does, for many names and the same candidates.
 *
 * Its work is bounded over all its calls: once that is used up it finds nothing, so that a request with many
 * unknown names and many long candidates goes without suggestions and does not hold up the others.
 */
export function createNearest(candidates: Iterable<string>): (name: string) => string | undefined {
  let folded: { readonly candidate: string; readonly text: string }[] | undefined;
  let stepsLeft = mostSteps;
  return (name) => {
    folded ??= Array.from(candidates, (candidate) => ({ candidate, text: fold(candidate) }));
    const wanted = fold(name);
    const words = Math.ceil(wanted.length / 32);
    let best: string | undefined;
    let bestEdits = Math.min(mostEdits, Math.floor(wanted.length / 3)) + 1;
    for (const { candidate, text } of folded) {
      const couldBeNear = Math.abs(text.length - wanted.length) < bestEdits;
      // What fastest-levenshtein does for a text, and one for having looked.
      stepsLeft -= couldBeNear ? 1 + words * text.length : 1;
      if (stepsLeft < 0) {
        return undefined;
      }
      const edits = couldBeNear ? distance(wanted, text) : Number.POSITIVE_INFINITY;
      if (edits < bestEdits) {
        best = candidate;
        bestEdits = edits;
      }
    }
    return best;
  };
}

function fold(text: string): string {
  return text.normalize("NFC").toLowerCase();
}
