import type { ConnectError } from "@connectrpc/connect";
import type { Task } from "./task.ts";

/** What became of a task that the worker held. */
export type TaskEnd = "completed" | "failed" | "cancelled" | "released";

/** What happens in a worker, for logs, figures and tests. */
export type WorkerEvent =
  /** Tasks were claimed. */
  | { readonly type: "claimed"; readonly tasks: readonly Task[] }
  /** The service has taken a result. */
  | { readonly type: "reported"; readonly task: Task; readonly end: TaskEnd; readonly error?: string }
  /** The service has refused a result, most often because the lease was lost. It keeps such an output as a late result. */
  | { readonly type: "refused"; readonly task: Task; readonly message: string }
  /** The lease was lost, and the executor has given up. */
  | { readonly type: "lost"; readonly task: Task }
  /** A call failed, and is repeated. */
  | { readonly type: "trouble"; readonly error: ConnectError; readonly retryInMs: number };
