import type { Json } from "../template/json.ts";

/** One task of a flow. */
export interface TaskDefinition {
  /** Unique in the flow. Case counts. */
  readonly name: string;
  /** What kind of worker can do it: the name, unless the definition says otherwise. */
  readonly executor: string;
  /** The names of the tasks that come before it: those listed, then those that templates refer to, each once. */
  readonly dependsOn: readonly string[];
  /** What it is asked, with templates. */
  readonly input?: Json | undefined;
  /** The template of the list whose items it is applied to. */
  readonly forEach?: string | undefined;
  readonly retry: RetryPolicy;
  /** How long one attempt may take. */
  readonly timeoutMs?: number | undefined;
  /** How long a worker holds it without a heartbeat. */
  readonly leaseMs: number;
  /** Whether what comes after it runs although it failed. */
  readonly onFailure: OnFailure;
}

/** What happens to the tasks after one that failed for good. */
export type OnFailure = "fail" | "continue";

/** What happens after an attempt failed. */
export interface RetryPolicy {
  /** How many attempts may fail. */
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly multiplier: number;
  readonly maxBackoffMs: number;
  /** The types of errors after which no retry helps. */
  readonly nonRetryable: readonly string[];
}

/** What a task is unless its definition says otherwise. */
export const taskDefaults = {
  retry: { maxAttempts: 1, initialBackoffMs: 1000, multiplier: 2, maxBackoffMs: 60_000, nonRetryable: [] },
  leaseMs: 30_000,
  onFailure: "fail",
} as const satisfies Partial<TaskDefinition>;

/** Completes a task as it is stored: those of older flow versions say less. */
export function completeTask(
  stored: Pick<TaskDefinition, "name" | "executor" | "dependsOn"> & Partial<TaskDefinition>,
): TaskDefinition {
  return { ...taskDefaults, ...stored };
}
