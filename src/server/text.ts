/**
 * Returns text from outside as something to send or log: at most so many UTF-16 units, and well-formed.
 *
 * A lone surrogate would make encodeURIComponent throw, and with it the writer of gRPC trailers.
 */
export function cut(text: string, length: number): string {
  return (text.length > length ? `${text.slice(0, length - 1)}…` : text).toWellFormed();
}

/**
 * Returns text from outside on one line: control characters, and what terminals and log viewers take for
 * a line break or a change of direction, are shown as their code points.
 */
export function oneLine(text: string, length = 256): string {
  if (text.length <= length && /^[\x20-\x7e]*$/.test(text)) {
    return text;
  }
  const escaped = cut(text, length).replace(
    /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return cut(escaped, length);
}
