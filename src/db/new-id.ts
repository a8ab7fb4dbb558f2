import { randomFillSync } from "node:crypto";

/** How many ids the random bytes are for that are drawn at once: drawing costs much more than an id. */
const drawn = 512;

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
  const random = Buffer.alloc(8 * drawn);
  let used = drawn;
  return () => {
    const current = now();
    if (current > time) {
      time = current;
      count = 0;
    } else if (++count > 0xfff) {
      time++;
      count = 0;
    }
    if (used === drawn) {
      randomFillSync(random);
      used = 0;
    }
    const begin = 8 * used++;
    random[begin] = (random[begin]! & 0x3f) | 0x80;
    const t = time.toString(16).padStart(12, "0");
    const r = random.toString("hex", begin, begin + 8);
    return `${t.slice(0, 8)}-${t.slice(8)}-7${count.toString(16).padStart(3, "0")}-${r.slice(0, 4)}-${r.slice(4)}`;
  };
}
