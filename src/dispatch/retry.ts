import type { RetryPolicy } from "../flow/task-definition.ts";
import type { TaskRecord, WorkResult } from "../task-execution/changes.ts";

/**
 * How often an attempt of the same task may be interrupted. Deploys and crashes of workers are nobody's
 * failure, but a task that kills its worker each time must come to an end.
 */
export const mostInterruptions = 10;

/** Whether another attempt follows one that failed, and when. */
export type Verdict = { readonly retry: true; readonly delayMs: number } | { readonly retry: false };

/** Decides what follows an attempt that failed. */
export function afterFailure(
  { attempt, interruptions }: Pick<TaskRecord, "attempt" | "interruptions">,
  policy: RetryPolicy,
  failure: Extract<WorkResult, { status: "failed" }>,
  random: () => number,
): Verdict {
  const failures = attempt - interruptions;
  const helps = failure.retryable && !policy.nonRetryable.includes(failure.errorType);
  if (!helps || failures >= policy.maxAttempts) {
    return { retry: false };
  }
  const delayMs = Math.max(backoffMs(policy, failures, random), failure.retryAfterMs);
  return { retry: true, delayMs };
}

/** Decides what follows an attempt whose worker was lost. */
export function afterInterruption(
  { interruptions }: Pick<TaskRecord, "interruptions">,
  policy: RetryPolicy,
  random: () => number,
): Verdict {
  if (interruptions + 1 >= mostInterruptions) {
    return { retry: false };
  }
  // The first time it was most likely not the task: nobody has to wait for it.
  return { retry: true, delayMs: interruptions === 0 ? 0 : backoffMs(policy, interruptions, random) };
}

/** Returns how long to wait after some failures: half of it at least, the rest by chance, so that retries spread. */
function backoffMs(
  { initialBackoffMs, multiplier, maxBackoffMs }: RetryPolicy,
  failures: number,
  random: () => number,
): number {
  const full = Math.min(initialBackoffMs * multiplier ** (failures - 1), maxBackoffMs);
  return Math.round(full * (0.5 + random() / 2));
}
