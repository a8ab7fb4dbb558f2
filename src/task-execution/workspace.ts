import type { EntityManager } from "@mikro-orm/postgresql";
import { modifiedByOf } from "../auth/modified-by.ts";
import type { FlowPlan, FlowPlans } from "../flow/flow-plan.ts";
import {
  type Author,
  type Change,
  type EventType,
  type PayloadField,
  payloadFields,
  type TagRow,
  type TaskRecord,
} from "./changes.ts";
import type { Decision } from "./decide.ts";
import { type EventRow, insertEvents } from "./event-statements.ts";
import { changeLeases, type Lease } from "./lease-statements.ts";
import { isOpen, type Status } from "./lifecycle.ts";
import { lookupsOf } from "./lookups.ts";
import { findByIds, findByKeys, insertRecords, type Lookup, updateRecords } from "./record-statements.ts";
import {
  findRunIds,
  findRuns,
  lockFreeRuns,
  lockRuns,
  type RunRecord,
  updateRuns,
} from "./run-statements.ts";
import { flowStatus, isEnded } from "./run-status.ts";
import { tagDifferences, writeTags } from "./tag-statements.ts";
import { findLastEnd, type TaskOfRun, type TaskState } from "./task-state-statements.ts";
import { TaskStates } from "./task-states.ts";

/** What a transaction takes from outside. */
export interface WorkspaceDeps {
  /** Who makes the changes, unless said otherwise. */
  readonly author: Author;
  readonly now: Date;
  readonly newId: () => string;
  readonly plans: FlowPlans;
}

/** What the event log says of a change beside what changed. */
interface Because {
  readonly reason?: string;
  /** The record whose change caused this one. */
  readonly causeId?: string | null;
}

/** What a new record has beside what it says itself. */
interface Added extends Because {
  readonly type?: EventType;
  /** How long it cannot be claimed yet, in milliseconds. */
  readonly delayMs?: number;
  /** The record whose input it gets. */
  readonly inputOfId?: string;
}

/** The tasks of a run that moved, and who moved the last of them. */
interface Moved {
  readonly names: Set<string>;
  readonly author: Author;
}

/** What is known of a changed record that the record does not say itself. */
interface Dirty {
  readonly record: TaskRecord;
  readonly isNew: boolean;
  readonly delayMs: number;
  readonly inputOfId?: string | undefined;
  /** The payloads that have changed. */
  readonly payloads: PayloadField[];
  readonly tagsBefore: readonly TagRow[];
}

/**
 * What one transaction works on: the locked runs, the records that its changes are about, and what is to be
 * written.
 *
 * `flush` stores what has changed so far, so that statements see it; `finish` gives the runs their status and
 * stores them with the events.
 */
export class Workspace {
  readonly em: EntityManager;
  readonly organizationId: string;
  readonly now: Date;
  readonly newId: () => string;
  #author: Author;
  readonly #plans: FlowPlans;
  readonly #states: TaskStates;
  readonly #runs = new Map<string, RunRecord>();
  readonly #statuses = new Map<string, Status>();
  readonly #touched = new Set<string>();
  readonly #started = new Map<string, Date>();
  readonly #runIds = new Map<string, string>();
  readonly #byId = new Map<string, TaskRecord>();
  readonly #byKey = new Map<string, TaskRecord>();
  readonly #events: EventRow[] = [];
  #dirty = new Map<string, Dirty>();
  #leases = {
    given: [] as Lease[],
    dropped: new Set<string>(),
    restored: new Set<string>(),
    cancelled: new Set<string>(),
  };
  #uncounted = new Map<string, { readonly flowExecutionId: string; readonly taskName: string }>();
  #moved = new Map<string, Moved>();
  readonly #readied = new Map<number, Set<string>>();
  /** The idx of the next record of the tasks that were asked for: the run is locked, and nobody else makes any. */
  readonly #nextIdxs = new Map<string, number>();

  constructor(em: EntityManager, { author, now, newId, plans }: WorkspaceDeps) {
    this.em = em;
    this.organizationId = author.caller.organizationId;
    this.#author = author;
    this.now = now;
    this.newId = newId;
    this.#plans = plans;
    this.#states = new TaskStates(em, this.organizationId);
  }

  /** Who makes the changes. */
  get author(): Author {
    return this.#author;
  }

  /** Says who makes the changes that follow: somebody of the same organization. */
  actAs(author: Author): void {
    if (author.caller.organizationId !== this.organizationId) {
      throw new Error("a transaction is of one organization");
    }
    this.#author = author;
  }

  /** The runs that are locked. */
  get runs(): Iterable<RunRecord> {
    return this.#runs.values();
  }

  /** How many entries of the event log there are that were not there before. */
  get eventCount(): number {
    return this.#events.length;
  }

  /** The executors that have something new to claim, by how many milliseconds it takes until they can. */
  get readied(): ReadonlyMap<number, ReadonlySet<string>> {
    return this.#readied;
  }

  /**
   * Locks the runs that changes are about, and those named beside, unless they are, and loads the records. Only the
   * first call may wait.
   *
   * @param mayWait whether it waits for runs that others have locked
   * @returns the ids of the runs that are locked by others
   */
  async load(
    changes: readonly Change[],
    moreRunIds: readonly string[] = [],
    mayWait = true,
  ): Promise<ReadonlySet<string>> {
    const { em, organizationId } = this;
    const { ids, keys } = lookupsOf(changes);
    const unplaced = ids.filter(({ id }) => !this.#runIds.has(id)).map(({ id }) => id);
    if (unplaced.length > 0) {
      for (const [id, runId] of await findRunIds(em, organizationId, unplaced)) this.#runIds.set(id, runId);
    }
    const placed = ids.filter(({ id }) => this.#runIds.has(id));
    const runIds = new Set([
      ...moreRunIds,
      ...placed.map(({ id }) => this.#runIds.get(id)!),
      ...keys.map(({ flowExecutionId }) => flowExecutionId),
    ]);
    const wanted = [...runIds].filter((id) => !this.#runs.has(id));
    if (wanted.length > 0) {
      this.take(await (mayWait ? lockRuns : lockFreeRuns)(em, organizationId, wanted));
    }
    const missing = mayWait ? [] : wanted.filter((id) => !this.#runs.has(id));
    const others = new Set(missing.length > 0 ? await findRuns(em, organizationId, missing) : []);
    const known = keys.filter(({ flowExecutionId }) => this.#runs.has(flowExecutionId));
    const stored = await this.#withoutNew(known);
    if (stored.length > 0) this.remember(await findByKeys(em, organizationId, stored));
    const ours = placed.filter(({ id }) => this.#runs.has(this.#runIds.get(id)!));
    if (ours.length > 0) this.remember(await findByIds(em, organizationId, ours));
    return others;
  }

  /** Returns the id of the run that a loaded change is about, undefined if nobody knows its record. */
  runIdOf(change: Change): string | undefined {
    return change.type === "report" ? change.flowExecutionId : this.#runIds.get(change.id);
  }

  /** Returns those of some keys that may have records: none is as high as what comes next. */
  async #withoutNew(keys: readonly Lookup[]): Promise<Lookup[]> {
    const byTask = Map.groupBy(keys, ({ flowExecutionId, taskName }) => `${flowExecutionId}/${taskName}`);
    const tasks: TaskOfRun[] = [];
    for (const [first] of byTask.values()) {
      tasks.push(await this.#taskOf(this.#runs.get(first!.flowExecutionId)!, first!.taskName));
    }
    const states = await this.#states.of(tasks);
    return [...byTask.values()].flatMap((ofTask, index) =>
      ofTask.filter(({ taskExecutionIdx }) => taskExecutionIdx < states[index]!.nextIdx),
    );
  }

  /** Adds runs that were locked elsewhere. */
  take(runs: readonly RunRecord[]): void {
    for (const run of runs) {
      if (this.#runs.has(run.id)) continue;
      this.#runs.set(run.id, run);
      this.#statuses.set(run.id, run.status);
    }
  }

  /** Adds records that were loaded elsewhere, of locked runs, and returns them as they are known here. */
  remember(records: readonly TaskRecord[]): TaskRecord[] {
    return records.map((record) => {
      // One object for one record, whether it was looked up by id, by key or by both.
      const known = this.#byId.get(record.id) ?? record;
      this.#know(known);
      return known;
    });
  }

  #know(record: TaskRecord): void {
    this.#byId.set(record.id, record);
    this.#byKey.set(keyOf(record), record);
  }

  /** Returns a locked run, or undefined if the organization has none with this id. */
  run(id: string): RunRecord | undefined {
    return this.#runs.get(id);
  }

  /** Returns the plan of the flow version that a run is of. */
  planOf(run: RunRecord): Promise<FlowPlan> {
    return this.#plans.of(this.em, this.organizationId, run);
  }

  /** Returns the record that a change is about, as the changes before left it, or undefined if there is none. */
  find(change: Change): TaskRecord | undefined {
    return change.type === "report" ? this.#byKey.get(keyOf(change)) : this.#byId.get(change.id);
  }

  /** Adds a new record. */
  add(record: TaskRecord, changedFields: readonly string[], added: Added = {}): void {
    const { type = "create", delayMs = 0, inputOfId } = added;
    this.#know(record);
    this.#dirty.set(record.id, { record, isNew: true, delayMs, inputOfId, payloads: [], tagsBefore: [] });
    this.#takeIdx(record);
    this.#move(record);
    this.#ready(record, delayMs);
    this.#log(record, type, null, changedFields, added);
  }

  /** Changes a record. */
  change(record: TaskRecord, decision: Decision, because: Because = {}): void {
    const dirty = this.#markDirty(record);
    const before = { ...record };
    decision.apply(record);
    record.etag++;
    record.updateTime = this.now;
    record.modifiedBy = modifiedByOf(this.author.caller);
    for (const field of payloadFields) {
      if (decision.changedFields.includes(field)) {
        dirty.payloads.push(field);
      }
    }
    if (record.status !== before.status) {
      this.#move(record);
      if (before.leaseToken !== null && before.status === "running") this.#leases.dropped.add(record.id);
      if (record.leaseToken !== null && record.status === "running") this.#leases.restored.add(record.id);
      this.#ready(record, 0);
    }
    if (record.cancelRequested && !before.cancelRequested) this.#leases.cancelled.add(record.id);
    this.#log(record, decision.event, before.status, decision.changedFields, because);
  }

  /** Says that an open record is out of date as soon as it ends. That is not part of what others see of it. */
  outdateOnEnd(record: TaskRecord): void {
    this.#markDirty(record);
    record.outdateOnEnd = true;
  }

  /** Starts a queued record under a lease, whose token is the number of this change. */
  start(record: TaskRecord, lease: Omit<Lease, "token" | "taskExecutionId" | "flowExecutionId">): void {
    const token = String(this.#runs.get(record.flowExecutionId)!.revision + 1n);
    this.change(record, {
      event: "start",
      changedFields: [],
      apply: (target) => {
        target.status = "running";
        target.startTime = this.now;
      },
    });
    record.leaseToken = token;
    this.#leases.given.push({
      ...lease,
      token,
      taskExecutionId: record.id,
      flowExecutionId: record.flowExecutionId,
    });
  }

  /** Logs something about a record that does not change it. */
  note(record: TaskRecord, type: EventType, changedFields: readonly string[], because: Because = {}): void {
    this.#log(record, type, record.status, changedFields, because);
  }

  /** Logs something about a run that does not change what it says of itself. */
  noteRun(run: RunRecord, type: EventType, reason = ""): void {
    this.#push(run, null, type, type === "create" ? null : run.status, run.status, [], { reason });
  }

  /** Changes a run itself. */
  changeRun(run: RunRecord, type: EventType, reason: string, apply: (run: RunRecord) => void): void {
    const before = run.status;
    apply(run);
    run.etag++;
    run.modifiedBy = modifiedByOf(this.author.caller);
    run.status = flowStatus(run);
    this.#push(run, null, type, before, run.status, [], { reason });
  }

  /** Says that tasks of a run may have become ready without one of their upstreams moving. */
  nudge(run: RunRecord, names: Iterable<string>): void {
    const moved = this.#moved.get(run.id)?.names ?? new Set();
    for (const name of names) moved.add(name);
    this.#moved.set(run.id, { names: moved, author: this.#author });
  }

  /** Says that there is something to claim again for some executors, whose records did not change. */
  announce(executors: Iterable<string>): void {
    for (const executor of executors) this.#announce(executor, 0);
  }

  /** Returns the names of the tasks that moved since the last call, by run. */
  takeMoved(): ReadonlyMap<string, Moved> {
    const moved = this.#moved;
    this.#moved = new Map();
    return moved;
  }

  /** Returns what tasks of a run have come to, by name, as far as it was flushed. */
  async statesOf(run: RunRecord, names: Iterable<string>): Promise<ReadonlyMap<string, TaskState>> {
    const tasks: TaskOfRun[] = [];
    for (const name of names) tasks.push(await this.#taskOf(run, name));
    const states = await this.#states.of(tasks);
    return new Map(states.map((state) => [state.taskName, state]));
  }

  /** Says that tasks of a run were changed past this workspace: whether they are to be executed anew. */
  forgetStates(run: RunRecord, names: readonly string[]): void {
    this.#states.forget(run.id, names);
  }

  /** Returns the idx of the next record of a task, counting those that are only known here. */
  async nextIdx(run: RunRecord, taskName: string): Promise<number> {
    const task = `${run.id}/${taskName}`;
    if (!this.#nextIdxs.has(task)) {
      const stored = (await this.statesOf(run, [taskName])).get(taskName)?.nextIdx ?? 0;
      this.#nextIdxs.set(task, stored);
      for (const { record } of this.#dirty.values()) this.#takeIdx(record);
    }
    return this.#nextIdxs.get(task)!;
  }

  #takeIdx({ flowExecutionId, taskName, taskExecutionIdx }: TaskRecord): void {
    const task = `${flowExecutionId}/${taskName}`;
    const next = this.#nextIdxs.get(task);
    if (next !== undefined) this.#nextIdxs.set(task, Math.max(next, taskExecutionIdx + 1));
  }

  /** Stores the records that have changed, and counts the tasks of their runs anew. */
  async flush(): Promise<void> {
    const { em, organizationId } = this;
    const dirty = [...this.#dirty.values()];
    const moved = await this.#countingTasks();
    const leases = this.#leases;
    this.#dirty = new Map();
    this.#uncounted = new Map();
    this.#leases = { given: [], dropped: new Set(), restored: new Set(), cancelled: new Set() };
    await this.#count(await this.#states.of(moved), -1);
    const added = dirty.filter(({ isNew }) => isNew);
    const changed = dirty.filter(({ isNew }) => !isNew);
    if (added.length > 0) await insertRecords(em, organizationId, added.sort(byKey), this.now);
    if (changed.length > 0) await updateRecords(em, organizationId, changed, this.now);
    await writeTags(em, organizationId, ...tagDifferences(dirty), this.now);
    await changeLeases(em, organizationId, leases);
    this.#states.follow(dirty);
    await this.#count(await this.#states.of(moved), 1);
  }

  /** Stores the runs and the events. Nothing may change after it. */
  async finish(): Promise<void> {
    if (this.#touched.size === 0) {
      return;
    }
    const { organizationId, now, em } = this;
    const runs = [...this.#touched].map((id) => this.#runs.get(id)!);
    const last = new Map(this.#events.map((event) => [event.flowExecutionId, event]));
    for (const run of runs) {
      await this.#settle(run);
      const before = this.#statuses.get(run.id)!;
      if (before !== run.status && last.has(run.id)) last.get(run.id)!.flowFromStatus = before;
    }
    await updateRuns(em, organizationId, runs, now);
    if (this.#events.length > 0) await insertEvents(em, organizationId, this.#events, now);
  }

  /** Counts all tasks of a run anew, because it has another flow version. */
  async recount(run: RunRecord): Promise<void> {
    const plan = await this.planOf(run);
    for (const status of Object.keys(run.counts) as (keyof typeof run.counts)[]) run.counts[status] = 0;
    run.tolerated = 0;
    run.totalTasks = plan.tasks.size;
    this.#touched.add(run.id);
    // What is a loop may be none in the other version.
    this.#states.forget(run.id);
    await this.#count([...(await this.statesOf(run, plan.tasks.keys())).values()], 1);
  }

  /** Takes tasks out of the counts of their runs, or puts them in. */
  async #count(states: readonly TaskState[], sign: 1 | -1): Promise<void> {
    for (const { flowExecutionId, taskName, status } of states) {
      const run = this.#runs.get(flowExecutionId)!;
      if (status === undefined) continue;
      run.counts[status] += sign;
      if (status === "failed" && run.dispatch === "managed") {
        const plan = await this.planOf(run);
        if (plan.tasks.get(taskName)?.onFailure === "continue") run.tolerated += sign;
      }
    }
  }

  /** Returns the tasks that moved and count: a managed run may have another flow version by now, without some. */
  async #countingTasks(): Promise<TaskOfRun[]> {
    const counting: TaskOfRun[] = [];
    for (const { flowExecutionId, taskName } of this.#uncounted.values()) {
      const run = this.#runs.get(flowExecutionId)!;
      if (run.dispatch === "external" || (await this.planOf(run)).tasks.has(taskName)) {
        counting.push(await this.#taskOf(run, taskName));
      }
    }
    return counting;
  }

  async #taskOf(run: RunRecord, taskName: string): Promise<TaskOfRun> {
    const isLoop =
      run.dispatch === "managed" && (await this.planOf(run)).tasks.get(taskName)?.forEach !== undefined;
    return { flowExecutionId: run.id, taskName, isLoop };
  }

  /** Gives a run the status and times that follow from its tasks. */
  async #settle(run: RunRecord): Promise<void> {
    const started = this.#started.get(run.id);
    if (started !== undefined && (run.startTime === null || started < run.startTime)) {
      run.startTime = started;
    }
    run.status = flowStatus(run);
    if (run.status === "deleted") {
      return;
    }
    if (!isEnded(run.status)) {
      run.endTime = null;
    } else if (run.endTime === null) {
      run.endTime = run.cancelTime ?? (await findLastEnd(this.em, this.organizationId, run.id)) ?? this.now;
    }
  }

  #markDirty(record: TaskRecord): Dirty {
    let dirty = this.#dirty.get(record.id);
    if (dirty === undefined) {
      dirty = {
        record,
        isNew: false,
        delayMs: 0,
        inputOfId: undefined,
        payloads: [],
        tagsBefore: record.tags,
      };
      this.#dirty.set(record.id, dirty);
    }
    return dirty;
  }

  #ready({ status, executor }: TaskRecord, delayMs: number): void {
    if (status === "queued" && executor !== null) {
      this.#announce(executor, delayMs);
    }
  }

  #announce(executor: string, delayMs: number): void {
    this.#readied.set(delayMs, (this.#readied.get(delayMs) ?? new Set()).add(executor));
  }

  #move({ flowExecutionId, taskName, status }: TaskRecord): void {
    this.#uncounted.set(`${flowExecutionId}/${taskName}`, { flowExecutionId, taskName });
    // What waits or runs makes nothing ready.
    if (!isOpen(status)) this.nudge(this.#runs.get(flowExecutionId)!, [taskName]);
  }

  #log(
    record: TaskRecord,
    type: EventType,
    from: EventRow["fromStatus"],
    fields: readonly string[],
    because: Because,
  ): void {
    const { flowExecutionId, startTime } = record;
    const earliest = this.#started.get(flowExecutionId);
    if (startTime !== null && (earliest === undefined || startTime < earliest)) {
      this.#started.set(flowExecutionId, startTime);
    }
    this.#push(this.#runs.get(flowExecutionId)!, record.id, type, from, record.status, fields, because);
  }

  #push(
    run: RunRecord,
    taskExecutionId: string | null,
    type: EventType,
    fromStatus: EventRow["fromStatus"],
    toStatus: EventRow["toStatus"],
    fields: readonly string[],
    { reason = "", causeId = null }: Because,
  ): void {
    run.revision++;
    this.#touched.add(run.id);
    this.#events.push({
      flowExecutionId: run.id,
      revision: String(run.revision),
      taskExecutionId,
      type,
      fromStatus,
      toStatus,
      reason,
      causeId,
      changedFields: JSON.stringify(fields),
      author: this.#author,
      flowFromStatus: null,
    });
  }
}

function keyOf(key: {
  readonly flowExecutionId: string;
  readonly taskName: string;
  readonly taskExecutionIdx: number;
}): string {
  return `${key.flowExecutionId}/${key.taskName}/${key.taskExecutionIdx}`;
}

/** Compares records in the order of the index of keys. */
function byKey({ record: a }: Dirty, { record: b }: Dirty): number {
  return (
    compare(a.flowExecutionId, b.flowExecutionId) ||
    compare(a.taskName, b.taskName) ||
    a.taskExecutionIdx - b.taskExecutionIdx
  );
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
