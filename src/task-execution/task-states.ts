import type { EntityManager } from "@mikro-orm/postgresql";
import type { TaskRecord } from "./changes.ts";
import { findTaskStates, type TaskOfRun, type TaskState } from "./task-state-statements.ts";

/** A record that was stored: a new one, or one that has changed. */
interface Stored {
  readonly record: TaskRecord;
  readonly isNew: boolean;
}

/**
 * What tasks of locked runs have come to. Nobody else changes them, so each is read once, and followed as its records
 * are stored; what cannot be followed is read again.
 */
export class TaskStates {
  readonly #em: EntityManager;
  readonly #organizationId: string;
  readonly #known = new Map<string, TaskState>();

  constructor(em: EntityManager, organizationId: string) {
    this.#em = em;
    this.#organizationId = organizationId;
  }

  /** Returns the states of tasks, as far as their records were stored. */
  async of(tasks: readonly TaskOfRun[]): Promise<TaskState[]> {
    const missing = tasks.filter((task) => !this.#known.has(keyOf(task)));
    for (const state of await findTaskStates(this.#em, this.#organizationId, missing)) {
      this.#known.set(keyOf(state), state);
    }
    return tasks.map((task) => this.#known.get(keyOf(task))!);
  }

  /** Says that records were stored. */
  follow(stored: readonly Stored[]): void {
    for (const [key, ofTask] of Map.groupBy(stored, ({ record }) => keyOf(record))) {
      const state = this.#known.get(key);
      if (state === undefined) continue;
      const next = state.isLoop ? loopStateAfter(state, ofTask) : stateAfter(state, ofTask);
      if (next === undefined) this.#known.delete(key);
      else this.#known.set(key, next);
    }
  }

  /** Says that tasks of a run changed otherwise; of all its tasks, unless some are named. */
  forget(flowExecutionId: string, taskNames?: readonly string[]): void {
    const names = taskNames && new Set(taskNames);
    for (const [key, state] of this.#known) {
      if (state.flowExecutionId === flowExecutionId && (names === undefined || names.has(state.taskName))) {
        this.#known.delete(key);
      }
    }
  }
}

/** Returns the state of a task that is no loop, or undefined if only the database knows which record counts now. */
function stateAfter(before: TaskState, stored: readonly Stored[]): TaskState | undefined {
  const state: { -readonly [Name in keyof TaskState]: TaskState[Name] } = { ...before };
  for (const { record, isNew } of stored) {
    const { taskExecutionIdx: idx, status } = record;
    if (isNew && idx >= state.nextIdx) {
      state.nextIdx = idx + 1;
      state.generation = record.generation;
      state.rerun = false;
    }
    if (status !== "deleted") {
      if (idx >= (state.countingIdx ?? 0)) {
        state.countingIdx = idx;
        state.status = status;
      }
    } else if (idx === state.countingIdx) {
      return undefined;
    }
  }
  return state;
}

/**
 * Returns the state of a loop, or undefined if only the database knows it. A loop is running as long as one item is,
 * whatever the others are.
 */
function loopStateAfter(state: TaskState, stored: readonly Stored[]): TaskState | undefined {
  const areTheSame = stored.every(
    ({ record, isNew }) =>
      !isNew && record.status !== "deleted" && record.taskExecutionIdx <= (state.countingIdx ?? -1),
  );
  const isRunning = stored.some(({ record }) => record.status === "running" && record.executor !== null);
  return areTheSame && isRunning ? { ...state, status: "running" } : undefined;
}

function keyOf({ flowExecutionId, taskName }: { flowExecutionId: string; taskName: string }): string {
  return `${flowExecutionId}/${taskName}`;
}
