import { createHash } from "node:crypto";
import type { JsonValue } from "@bufbuild/protobuf";

/** What a worker process is told. */
export interface WorkerOptions {
  readonly name: string;
  readonly origins: readonly string[];
  readonly key: string;
  readonly executor: string;
  readonly historyDir: string;
  readonly seed: number;
  readonly concurrency: number;
  readonly beatMs: number;
}

/** Returns the output of a task: it says by whom, under which token and from what it was made, and lists some items. */
export function completionOf(
  worker: string,
  token: bigint,
  input: JsonValue | undefined,
  items: number,
): JsonValue {
  const made = createHash("sha256").update(JSON.stringify(input)).digest("hex").slice(0, 12);
  const list = Array.from({ length: items }, (_, index) => `${made}-${index}`);
  return { by: worker, token: String(token), made, items: list };
}
