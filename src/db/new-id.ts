import { randomBytes } from "node:crypto";

/**
 * Returns a maker of UUIDv7 ids that grow with every call.
 *
 * Lists are ordered by id, newest first, so ids made in the same millisecond must keep their order,
 * which `randomUUIDv7` of node:crypto does not promise: the 12 bits after the time count here
 * (RFC 9562, 6.2, method 1) and what overflows them goes into the time.
 *
 * @param now the clock, in milliseconds since 1970
 */
export function createIdMaker(now: () => number = Date.now): () => string {
  let time = 0;
  let count = 0;
  return () => {
    const current = now();
    if (current > time) {
      time = current;
      count = 0;
    } else if (++count > 0xfff) {
      time++;
      count = 0;
    }
    const hex = randomBytes(8);
    hex[0] = (hex[0]! & 0x3f) | 0x80;
    const t = time.toString(16).padStart(12, "0");
    const r = hex.toString("hex");
    return `${t.slice(0, 8)}-${t.slice(8)}-7${count.toString(16).padStart(3, "0")}-${r.slice(0, 4)}-${r.slice(4)}`;
  };
}
