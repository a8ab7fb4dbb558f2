import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** The list that a page token belongs to. */
export interface PageScope {
  /** The name of the method. */
  readonly method: string;
  /** Everything that says which rows the list has, as JSON; not the size of its pages. */
  readonly filter: unknown;
}

/** What a page token says. */
export interface PagePlace {
  /** Where the page before ended, as the list understands it. */
  readonly position: string;
  /** When the token was made, in whole seconds since 1970. */
  readonly issued: number;
}

/** How many characters a page token may have: what the API allows in a request. */
const mostTokenCharacters = 1024;

const prefix = "v1.";
const timeBytes = 6;
const macBytes = 32;

/**
 * Returns the page token for a place in a list: `v1.` and base64url of the time, the position and an HMAC-SHA256.
 *
 * The scope is part of what is authenticated and not of the token, so it may be of any size.
 */
export function sealPlace(key: Uint8Array, scope: PageScope, { position, issued }: PagePlace): string {
  const time = Buffer.alloc(timeBytes);
  time.writeUIntBE(issued, 0, timeBytes);
  const content = Buffer.concat([time, Buffer.from(position)]);
  const token = prefix + Buffer.concat([content, authenticate(key, scope, content)]).toString("base64url");
  if (token.length > mostTokenCharacters) {
    throw new RangeError(`a page token of ${token.length} characters would never be taken back`);
  }
  return token;
}

/** Returns what a page token says, or undefined if it was not made with this key for this scope. */
export function openPlace(key: Uint8Array, scope: PageScope, token: string): PagePlace | undefined {
  if (token.length > mostTokenCharacters || !token.startsWith(prefix)) {
    return undefined;
  }
  const text = token.slice(prefix.length);
  const bytes = Buffer.from(text, "base64url");
  // Node reads base64 of any spelling. Only ours is taken, so that there is one token for one place.
  if (bytes.length < timeBytes + macBytes || bytes.toString("base64url") !== text) {
    return undefined;
  }
  const content = bytes.subarray(0, -macBytes);
  if (!timingSafeEqual(authenticate(key, scope, content), bytes.subarray(-macBytes))) {
    return undefined;
  }
  return { issued: content.readUIntBE(0, timeBytes), position: content.toString("utf8", timeBytes) };
}

/** The hash of the scope has a fixed length, so that no other scope and content run together to the same bytes. */
function authenticate(key: Uint8Array, { method, filter }: PageScope, content: Uint8Array): Buffer {
  const scopeHash = createHash("sha256")
    .update(JSON.stringify([method, filter]))
    .digest();
  return createHmac("sha256", key).update(prefix).update(scopeHash).update(content).digest();
}
