/** Counts Unicode code points, as protovalidate does, without making an array of them. */
export function countCharacters(text: string): number {
  let count = text.length;
  for (let index = 0; index < text.length - 1; index++) {
    if (text.codePointAt(index)! > 0xffff) {
      count--;
    }
  }
  return count;
}

/** What YAML does not take for text: control characters other than line breaks and tabs, and half pairs. */
export const unprintable = /(?![\t\n\r\u0085])[\p{Cc}\p{Cs}]/u;

/** Says what is wrong with a text of several lines, if anything is. */
export function findTextFault(text: string): string | undefined {
  const match = unprintable.exec(text);
  return match ? describeCharacter(match[0]) : undefined;
}

/**
 * Says what is wrong with a name, if anything is.
 *
 * Names that look the same must be the same: one that is not normalized is refused, and not changed, so that
 * whoever sends it finds it again under the name they sent.
 */
export function findNameFault(text: string): string | undefined {
  const match = /[\p{Cc}\p{Cs}]/u.exec(text);
  if (match) {
    return describeCharacter(match[0]);
  }
  return text === text.normalize("NFC")
    ? undefined
    : "is not in Unicode normalization form C (NFC); save the file in it";
}

/** Says that a character may not stand where it stands. */
export function describeCharacter(char: string): string {
  const code = char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  return `holds the character U+${code}; leave it out`;
}
