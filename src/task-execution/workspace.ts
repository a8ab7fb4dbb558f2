import type { EntityManager } from "@mikro-orm/postgresql";
import { modifiedByOf } from "../auth/modified-by.ts";
import { flowStatus, isEnded } from "../flow-execution/flow-status.ts";
import {
  type Author,
  type Change,
  type PayloadField,
  payloadFields,
  type TagRow,
  type TaskRecord,
} from "./changes.ts";
import type { Decision } from "./decide.ts";
import {
  type EventRow,
  findByIds,
  findByKeys,
  findLastEnd,
  findRunIds,
  findTaskStatuses,
  insertEvents,
  insertRecords,
  type Lookup,
  lockRuns,
  type RunRecord,
  type TaskOfRun,
  updateRecords,
  updateRuns,
  writeTags,
} from "./write-statements.ts";

/** What is known of a changed record that the record does not say itself. */
interface Dirty {
  readonly record: TaskRecord;
  readonly isNew: boolean;
  readonly payloads: Set<PayloadField>;
  readonly tagsBefore: readonly TagRow[];
}

/**
 * What one transaction works on: the locked runs, the records that its changes are about, and what will be
 * written when all changes are decided.
 */
export class Workspace {
  readonly author: Author;
  readonly now: Date;
  readonly #em: EntityManager;
  readonly #runs: Map<string, RunRecord>;
  readonly #byId = new Map<string, TaskRecord>();
  readonly #byKey = new Map<string, TaskRecord>();
  readonly #dirty = new Map<string, Dirty>();
  readonly #events: EventRow[] = [];
  readonly #moved = new Map<string, TaskOfRun>();

  private constructor(em: EntityManager, author: Author, now: Date, runs: Map<string, RunRecord>) {
    this.#em = em;
    this.author = author;
    this.now = now;
    this.#runs = runs;
  }

  /** Locks the runs that the changes are about, and those named beside, and loads the records. */
  static async open(
    em: EntityManager,
    author: Author,
    now: Date,
    changes: readonly Change[],
    moreRunIds: readonly string[] = [],
  ): Promise<Workspace> {
    const { organizationId } = author.caller;
    const { ids, keys } = lookupsOf(changes);
    const runOfId =
      ids.length > 0
        ? await findRunIds(
            em,
            organizationId,
            ids.map(({ id }) => id),
          )
        : new Map();
    const runIds = new Set([
      ...moreRunIds,
      ...runOfId.values(),
      ...keys.map(({ flowExecutionId }) => flowExecutionId),
    ]);
    const runs = runIds.size > 0 ? await lockRuns(em, organizationId, [...runIds]) : new Map();
    const work = new Workspace(em, author, now, runs);
    const known = keys.filter(({ flowExecutionId }) => runs.has(flowExecutionId));
    const records = [
      ...(known.length > 0 ? await findByKeys(em, organizationId, known) : []),
      ...(runOfId.size > 0 ? await findByIds(em, organizationId, ids) : []),
    ];
    for (const record of records) {
      work.#remember(record);
    }
    return work;
  }

  get organizationId(): string {
    return this.author.caller.organizationId;
  }

  /** Returns a locked run, or undefined if the organization has none with this id. */
  run(id: string): RunRecord | undefined {
    return this.#runs.get(id);
  }

  /** Returns the record that a change is about, as the changes before left it, or undefined if there is none. */
  find(change: Change): TaskRecord | undefined {
    return change.type === "report" ? this.#byKey.get(keyOf(change)) : this.#byId.get(change.id);
  }

  /** Adds a new record. */
  add(record: TaskRecord, changedFields: readonly string[]): void {
    this.#remember(record);
    this.#dirty.set(record.id, { record, isNew: true, payloads: new Set(), tagsBefore: [] });
    this.#moved.set(taskKeyOf(record), record);
    this.#log(record, "create", null, changedFields, "");
  }

  /** Changes a record. */
  change(record: TaskRecord, decision: Decision, reason: string): void {
    let dirty = this.#dirty.get(record.id);
    if (dirty === undefined) {
      dirty = { record, isNew: false, payloads: new Set(), tagsBefore: record.tags };
      this.#dirty.set(record.id, dirty);
    }
    const before = record.status;
    decision.apply(record);
    record.etag++;
    record.updateTime = this.now;
    record.modifiedBy = modifiedByOf(this.author.caller);
    for (const field of payloadFields) {
      if (decision.changedFields.includes(field)) {
        dirty.payloads.add(field);
      }
    }
    if (record.status !== before) {
      this.#moved.set(taskKeyOf(record), record);
    }
    this.#log(record, decision.event, before, decision.changedFields, reason);
  }

  /** Changes a run itself. */
  changeRun(run: RunRecord, type: EventRow["type"], reason: string, apply: (run: RunRecord) => void): void {
    const before = run.status;
    apply(run);
    run.etag++;
    run.modifiedBy = modifiedByOf(this.author.caller);
    run.status = flowStatus(run);
    this.#push(run, null, type, before, run.status, [], reason);
  }

  /** Writes everything that has changed. */
  async write(): Promise<void> {
    if (this.#events.length === 0) {
      return;
    }
    const { organizationId, now } = this;
    const em = this.#em;
    const moved = [...this.#moved.values()].map(({ flowExecutionId, taskName }) => ({
      flowExecutionId,
      taskName,
    }));
    const dirty = [...this.#dirty.values()];
    if (moved.length > 0) await this.#count(moved, -1);
    const added = dirty.filter(({ isNew }) => isNew).map(({ record }) => record);
    const changed = dirty.filter(({ isNew }) => !isNew);
    if (added.length > 0) await insertRecords(em, organizationId, added.sort(byKey));
    if (changed.length > 0) await updateRecords(em, organizationId, changed);
    await writeTags(em, organizationId, ...tagDifferences(dirty), now);
    if (moved.length > 0) await this.#count(moved, 1);
    const runIds = new Set(this.#events.map(({ flowExecutionId }) => flowExecutionId));
    const runs = [...runIds].map((id) => this.#runs.get(id)!);
    for (const run of runs) {
      await this.#settle(run);
    }
    await updateRuns(em, organizationId, runs, now);
    const { subject, kind, keyName } = this.author.caller;
    const actor = { organizationId, subject, kind, keyName, requestId: this.author.requestId, time: now };
    await insertEvents(em, actor, this.#events);
  }

  /** Takes the tasks that move out of the counts of their runs before the write, and puts them in after it. */
  async #count(moved: readonly TaskOfRun[], sign: 1 | -1): Promise<void> {
    for (const { flowExecutionId, status } of await findTaskStatuses(this.#em, this.organizationId, moved)) {
      this.#runs.get(flowExecutionId)!.counts[status] += sign;
    }
  }

  /** Gives a run the status and times that follow from its tasks. */
  async #settle(run: RunRecord): Promise<void> {
    for (const { record } of this.#dirty.values()) {
      if (record.flowExecutionId === run.id && record.startTime !== null) {
        run.startTime =
          run.startTime === null || record.startTime < run.startTime ? record.startTime : run.startTime;
      }
    }
    run.status = flowStatus(run);
    if (run.status === "deleted") {
      return;
    }
    if (!isEnded(run.status)) {
      run.endTime = null;
    } else if (run.endTime === null) {
      run.endTime = run.cancelTime ?? (await findLastEnd(this.#em, this.organizationId, run.id)) ?? this.now;
    }
  }

  #log(
    record: TaskRecord,
    type: EventRow["type"],
    from: EventRow["fromStatus"],
    fields: readonly string[],
    reason: string,
  ): void {
    this.#push(this.#runs.get(record.flowExecutionId)!, record.id, type, from, record.status, fields, reason);
  }

  #push(
    run: RunRecord,
    taskExecutionId: string | null,
    type: EventRow["type"],
    fromStatus: EventRow["fromStatus"],
    toStatus: EventRow["toStatus"],
    fields: readonly string[],
    reason: string,
  ): void {
    run.revision++;
    this.#events.push({
      flowExecutionId: run.id,
      revision: String(run.revision),
      taskExecutionId,
      type,
      fromStatus,
      toStatus,
      reason,
      changedFields: JSON.stringify(fields),
    });
  }

  #remember(record: TaskRecord): void {
    // One object for one record, whether it was looked up by id, by key or by both.
    const known = this.#byId.get(record.id) ?? record;
    this.#byId.set(known.id, known);
    this.#byKey.set(keyOf(known), known);
  }
}

/** Returns what to look up for changes, each record once, with the lengths of the payloads to compare. */
function lookupsOf(changes: readonly Change[]) {
  const ids = new Map<string, { id: string; lengths: Lookup["lengths"] }>();
  const keys = new Map<string, Lookup>();
  for (const change of changes) {
    let lengths: Lookup["lengths"] = { input: [], output: [], error: [] };
    if (change.type === "report") {
      const { flowExecutionId, taskName, taskExecutionIdx } = change;
      const known = keys.get(keyOf(change));
      lengths = known?.lengths ?? lengths;
      keys.set(keyOf(change), { flowExecutionId, taskName, taskExecutionIdx, lengths });
    } else {
      lengths = ids.get(change.id)?.lengths ?? lengths;
      ids.set(change.id, { id: change.id, lengths });
    }
    if ("payloads" in change) {
      for (const field of payloadFields) {
        const text = change.payloads[field];
        if (typeof text === "string") {
          lengths[field].push(Buffer.byteLength(text));
        }
      }
    }
  }
  return { ids: [...ids.values()], keys: [...keys.values()] };
}

function tagDifferences(dirty: readonly Dirty[]) {
  const added = dirty.flatMap(({ record, tagsBefore }) =>
    record.tags.filter((tag) => !tagsBefore.includes(tag)).map((tag) => ({ id: record.id, tag })),
  );
  const removed = dirty.flatMap(({ record, tagsBefore }) =>
    tagsBefore.filter((tag) => !record.tags.includes(tag)).map(({ tag }) => ({ id: record.id, tag })),
  );
  return [added, removed] as const;
}

function taskKeyOf({ flowExecutionId, taskName }: TaskOfRun): string {
  return `${flowExecutionId}/${taskName}`;
}

function keyOf(key: TaskOfRun & { readonly taskExecutionIdx: number }): string {
  return `${taskKeyOf(key)}/${key.taskExecutionIdx}`;
}

function byKey(a: TaskRecord, b: TaskRecord): number {
  return keyOf(a) < keyOf(b) ? -1 : 1;
}
