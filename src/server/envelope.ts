/** How many bytes stand before each message of gRPC: its flags, and its length in four bytes. */
export const headLength = 5;

/** Returns the length that the head of a message promises. */
export function promisedLength(bytes: Uint8Array, at = 0): number {
  return ((bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!) >>> 0;
}
