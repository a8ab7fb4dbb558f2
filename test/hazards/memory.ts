import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Returns what this process holds, in megabytes, without what is merely not collected yet. */
export function heldMegabytes(): number {
  collectGarbage();
  // The first frees the owners of buffers, the second the buffers.
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}
