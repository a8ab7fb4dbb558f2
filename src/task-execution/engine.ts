import type { Adoption, ChangeResult, Expiry, TaskRecord, WorkReport } from "./changes.ts";
import type { RunRecord } from "./run-statements.ts";
import type { Workspace } from "./workspace.ts";

/** A change that only what drives managed runs can decide. */
export type EngineChange = WorkReport | Expiry | Adoption;

/** What drives managed runs, as the write path needs it: within its transactions. */
export interface Engine {
  /**
   * Applies a change by a worker, or to one.
   *
   * @throws LedgerError why it is refused; then it changed nothing, but for a result that is kept as late
   */
  apply(work: Workspace, record: TaskRecord | undefined, change: EngineChange): Promise<ChangeResult>;
  /**
   * Marks what was made from an output that has changed.
   *
   * @param executeFlow whether what became stale is executed anew
   * @returns the records that became stale, upstream before downstream
   */
  outdate(work: Workspace, run: RunRecord, cause: TaskRecord, executeFlow: boolean): Promise<TaskRecord[]>;
  /** Makes the records of every task that has become ready. */
  advance(work: Workspace): Promise<void>;
}
