import { isDeepStrictEqual } from "node:util";
import { Code } from "@connectrpc/connect";
import { type LifecycleEvent, lifecycleEvents, next } from "../../../src/task-execution/lifecycle.ts";
import type { ChaosFlow } from "./flows.ts";
import type { Entry } from "./history.ts";
import type { State, StoredEvent, StoredTask } from "./state.ts";

/** What is to be checked: what clients were told, and what there is at the end. */
export interface Case {
  /** The flow of each run that was submitted, by the id of the run. */
  readonly flows: ReadonlyMap<string, ChaosFlow>;
  readonly history: readonly Entry[];
  /** What the service answers at the end, by the id of the record: its status and its output. */
  readonly readable: ReadonlyMap<string, { status: string; output: unknown }>;
  readonly state: State;
}

/** An invariant, and where it does not hold: nowhere, if all is well. */
export type Findings = ReadonlyMap<string, readonly string[]>;

const codes: readonly Code[] = [
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Aborted,
  Code.ResourceExhausted,
];

/** The one invariant that is about those who call. */
export const invariantOfErrors = "clients see only errors that may be";

type Of<K extends Entry["kind"]> = Extract<Entry, { kind: K }>;

function entriesOf<K extends Entry["kind"]>({ history }: Case, kind: K): Of<K>[] {
  return history.filter((entry): entry is Of<K> => entry.kind === kind);
}

/** Checks every invariant. */
export function checkAll(c: Case): Findings {
  return new Map([
    ["every run ends completed", runsEndCompleted(c)],
    ["I1 what was acknowledged can be read", acknowledgedIsReadable(c)],
    ["I2 there is one record for each key", oneRecordPerKey(c)],
    ["I3 statuses follow the lifecycle", statusesFollowLifecycle(c)],
    ["I4 tokens grow, and no two workers hold one task", tokensGrow(c)],
    ["I5 each task completes once, under its last token", completesOnce(c)],
    ["I10 what counts was made from what counts", madeFromWhatCounts(c)],
    ["I10 a correction outdates all that was made from it", correctionsOutdate(c)],
    ["revisions have no gaps", revisionsHaveNoGaps(c)],
    ["no task runs before its upstreams have completed", upstreamsFirst(c)],
    [invariantOfErrors, onlyAllowedErrors(c)],
  ]);
}

function runsEndCompleted({ flows, state }: Case): string[] {
  const open = state.tasks.filter(({ status }) => status === "queued" || status === "running");
  return [
    ...[...flows.keys()].flatMap((id) => {
      const status = state.runs.get(id)?.status;
      if (status === "completed") return [];
      const tasks = state.tasks.filter((task) => task.run === id && task.status !== "completed");
      return [`run ${id} is ${status}, with ${tasks.map((t) => `${t.name}/${t.idx} ${t.status}`)}`];
    }),
    ...open.map(({ id, status }) => `task execution ${id} is ${status}`),
    ...(state.leases === 0 ? [] : [`${state.leases} leases are left`]),
  ];
}

function acknowledgedIsReadable(c: Case): string[] {
  const outdated = new Set(c.state.events.filter(({ type }) => type === "outdate").map(({ task }) => task));
  const edited = new Set(entriesOf(c, "amended").map(({ id }) => id));
  return [
    ...entriesOf(c, "created").flatMap(({ run }) => (c.state.runs.has(run) ? [] : [`run ${run} is gone`])),
    ...entriesOf(c, "reported").flatMap(({ id, worker, token, result, answer }) => {
      const found = c.readable.get(id);
      if (answer !== "taken") return [];
      if (found?.status !== result && !(found?.status === "stale" && outdated.has(id))) {
        return [`${id} was reported ${result} and is ${found?.status}`];
      }
      const { by, token: under } = (found.output ?? {}) as { by?: string; token?: string };
      if (result === "failed" || by === "correction" || edited.has(id)) return [];
      return by === worker && under === token ? [] : [`${id} was completed by ${worker}, and says ${by}`];
    }),
    ...entriesOf(c, "amended").flatMap(({ id, run, stale }) => {
      const gone = [id, ...stale].filter((one) => !c.readable.has(one));
      return gone.map((one) => `${one} of run ${run} is gone`);
    }),
  ];
}

function oneRecordPerKey({ state }: Case): string[] {
  const keys = Map.groupBy(state.tasks, ({ run, name, idx }) => `${run}/${name}/${idx}`);
  return [...keys].filter(([, found]) => found.length > 1).map(([key]) => `${key} is there more than once`);
}

const moves = new Set<string>(lifecycleEvents);

function statusesFollowLifecycle({ state }: Case): string[] {
  const status = new Map<string, StoredEvent["to"]>();
  const wrong: string[] = [];
  for (const { task, type, from, to, run, revision } of state.events) {
    if (task === null) continue;
    const before = status.get(task) ?? null;
    const isMove = moves.has(type);
    const expected = isMove && before !== null ? next(before, type as LifecycleEvent) : to;
    if (from !== before || expected !== to || (!isMove && before !== null && before !== to)) {
      wrong.push(`revision ${revision} of run ${run}: ${type} from ${from} to ${to}, and it was ${before}`);
    }
    status.set(task, to);
  }
  const last = state.tasks.filter((task) => status.get(task.id) !== task.status);
  return [...wrong, ...last.map(({ id, status: is }) => `${id} is ${is}, its log says ${status.get(id)}`)];
}

function tokensGrow(c: Case): string[] {
  const wrong: string[] = [];
  const starts = new Map<string, number>();
  for (const { task, type, revision } of c.state.events) {
    if (type !== "start") continue;
    if (starts.has(task!)) wrong.push(`${task} was started twice`);
    starts.set(task!, revision);
  }
  for (const { id, token } of c.state.tasks) {
    if (token !== null && Number(token) !== starts.get(id)) wrong.push(`${id} has a token of another start`);
  }
  const holders = new Map<string, string>();
  for (const { id, token, worker, requestId } of entriesOf(c, "claimed")) {
    const holder = `${worker} by ${requestId} under ${token}`;
    const before = holders.get(id) ?? holder;
    if (before !== holder) wrong.push(`${id} was given to ${before} and to ${holder}`);
    if (Number(token) !== starts.get(id)) wrong.push(`${id} was given under ${token}, its start was another`);
    holders.set(id, before);
  }
  const items = Map.groupBy(c.state.tasks, ({ run, name, iteration }) => `${run}/${name}/${iteration}`);
  for (const [item, attempts] of items) {
    const tokens = attempts.filter(({ token }) => token !== null).map(({ token }) => Number(token));
    if (tokens.some((token, index) => index > 0 && token <= tokens[index - 1]!)) {
      wrong.push(`the tokens of ${item} do not grow: ${tokens}`);
    }
  }
  return wrong;
}

function completesOnce(c: Case): string[] {
  const completions = Map.groupBy(
    c.state.events.filter(({ type }) => type === "complete"),
    ({ task }) => task,
  );
  const twice = [...completions].filter(([, events]) => events.length > 1);
  const items = Map.groupBy(c.state.tasks, (t) => `${t.run}/${t.name}/${t.iteration}/${t.generation}`);
  const again = [...items].filter(([, all]) => all.filter(({ status }) => status === "completed").length > 1);
  const byId = new Map(c.state.tasks.map((task) => [task.id, task]));
  return [
    ...twice.map(([task]) => `${task} completed twice`),
    ...again.map(([item]) => `${item} completed twice`),
    ...entriesOf(c, "reported").flatMap(({ id, token, answer, result, worker }) => {
      const task = byId.get(id)!;
      const applied = task.output !== null && JSON.parse(task.output).token === token;
      if (answer === "taken" && task.token !== token) return [`${id} took a result under an old token`];
      // Refused, though its worker had handed it in before and only the answer was lost: that must not be.
      if (answer !== "taken" && result === "completed" && applied && !task.edited) {
        return [`${id} was completed by ${worker}, who was told ${answer}`];
      }
      return [];
    }),
    ...c.state.tasks.flatMap(({ id, output, token, edited }) => {
      if (output === null || edited || token === null) return [];
      return JSON.parse(output).token === token ? [] : [`${id} holds the output of another claim`];
    }),
  ];
}

/** Returns the records of a run that count, by task: the newest, or of a loop that of each item. */
function countingOf(tasks: readonly StoredTask[], flow: ChaosFlow): Map<string, StoredTask[]> {
  const byName = Map.groupBy(tasks, ({ name }) => name);
  return new Map(
    flow.tasks.map(({ name, over }) => {
      const all = (byName.get(name) ?? []).toSorted((a, b) => b.idx - a.idx);
      const newest = all[0];
      if (over === undefined || newest === undefined) return [name, newest ? [newest] : []];
      const items = new Map<number | null, StoredTask>();
      for (const task of all) {
        if (task.generation === newest.generation && !items.has(task.iteration))
          items.set(task.iteration, task);
      }
      return [name, [...items.values()].sort((a, b) => (a.iteration ?? 0) - (b.iteration ?? 0))];
    }),
  );
}

/** What a record was made from must be what counts upstream of it now: else it should have become stale. */
function madeFromWhatCounts({ flows, state }: Case): string[] {
  const byRun = Map.groupBy(state.tasks, ({ run }) => run);
  return [...flows].flatMap(([run, flow]) => {
    // Of one that has not ended well that is all there is to say.
    if (state.runs.get(run)?.status !== "completed") return [];
    const counting = countingOf(byRun.get(run) ?? [], flow);
    const isLoop = new Map(flow.tasks.map(({ name, over }) => [name, over !== undefined]));
    const outputOf = (name: string) => {
      const outputs = counting.get(name)!.map(({ output }) => (output === null ? null : JSON.parse(output)));
      // A list without items is one record that completed with an empty list.
      const isEmpty = counting.get(name)![0]?.iteration === null;
      return isLoop.get(name) && !isEmpty ? outputs : outputs[0];
    };
    return flow.tasks.flatMap(({ name, dependsOn, over, work }) => {
      const records = counting.get(name)!;
      const from = Object.fromEntries(dependsOn.map((upstream) => [upstream, outputOf(upstream)]));
      const items: unknown[] | undefined = over && outputOf(over).items;
      if (items !== undefined && records.length !== Math.max(1, items.length)) {
        return [`${name} of run ${run} has ${records.length} records for ${items.length} items`];
      }
      return records.flatMap(({ id, input, iteration }) => {
        if (items?.length === 0) return [];
        const expected = { ...work, from, ...(items && { item: items[iteration!] }) };
        const same = input !== null && isDeepStrictEqual(JSON.parse(input), expected);
        return same ? [] : [`${name}, ${id} of run ${run}, was not made from what counts upstream`];
      });
    });
  });
}

/** Replays the log up to each correction: what had ended downstream becomes stale in the same transaction. */
function correctionsOutdate({ flows, state }: Case): string[] {
  const byRun = Map.groupBy(state.events, ({ run }) => run);
  const taskOf = new Map(state.tasks.map((task) => [task.id, task]));
  return [...flows].flatMap(([run, flow]) => {
    const status = new Map<string, StoredEvent["to"]>();
    const events = byRun.get(run) ?? [];
    return events.flatMap((event, at) => {
      if (event.task === null) return [];
      status.set(event.task, event.to);
      if (event.type !== "amend" || !event.changed.includes("output")) return [];
      const known = [...status.keys()].map((id) => taskOf.get(id)!);
      const counting = countingOf(known, flow);
      const cause = taskOf.get(event.task)!;
      if (!counting.get(cause.name)!.includes(cause)) return [];
      const outdated = new Set(
        events.slice(at).flatMap((e) => (e.type === "outdate" && e.causeId === cause.id ? [e.task] : [])),
      );
      return [...downstreamOf(flow, cause.name)]
        .flatMap((name) => counting.get(name)!)
        .filter(({ id }) => status.get(id) === "completed" && !outdated.has(id))
        .map(({ id }) => `${id} was not outdated by revision ${event.revision} of run ${run}`);
    });
  });
}

function downstreamOf({ tasks }: ChaosFlow, cause: string): Set<string> {
  const found = new Set<string>();
  // Tasks stand in topological order.
  for (const { name, dependsOn } of tasks) {
    if (dependsOn.some((upstream) => upstream === cause || found.has(upstream))) found.add(name);
  }
  return found;
}

function revisionsHaveNoGaps({ state }: Case): string[] {
  const byRun = Map.groupBy(state.events, ({ run }) => run);
  return [...state.runs.values()].flatMap(({ id, revision }) => {
    const revisions = (byRun.get(id) ?? []).map((event) => event.revision);
    const gap = revisions.findIndex((found, index) => found !== index + 1);
    if (gap >= 0) return [`run ${id} has ${revisions[gap]} after ${revisions[gap - 1]}`];
    return revisions.length === revision
      ? []
      : [`run ${id} is at ${revision} and has ${revisions.length} events`];
  });
}

function upstreamsFirst({ flows, state }: Case): string[] {
  const taskOf = new Map(state.tasks.map((task) => [task.id, task]));
  const byRun = Map.groupBy(state.events, ({ run }) => run);
  return [...flows].flatMap(([run, flow]) => {
    const events = byRun.get(run) ?? [];
    // What is corrected while others run is another matter: see what counts.
    if (events.some(({ type }) => type === "amend")) return [];
    const upstreams = new Map(flow.tasks.map(({ name, dependsOn }) => [name, dependsOn]));
    const lastEnd = new Map<string, number>();
    const firstStart = new Map<string, number>();
    for (const { task, type, revision } of events) {
      const name = task === null ? undefined : taskOf.get(task)!.name;
      if (name === undefined) continue;
      if (type === "complete") lastEnd.set(name, revision);
      if (type === "start" && !firstStart.has(name)) firstStart.set(name, revision);
    }
    return [...firstStart].flatMap(([name, revision]) =>
      upstreams
        .get(name)!
        .filter((upstream) => (lastEnd.get(upstream) ?? 0) > revision)
        .map((upstream) => `${name} of run ${run} was started before ${upstream} completed`),
    );
  });
}

function onlyAllowedErrors(c: Case): string[] {
  const calls = entriesOf(c, "error")
    .filter(({ code }) => !codes.includes(code))
    .map(({ method, code, reason }) => `${method}: ${Code[code]} ${reason}`);
  const reports = entriesOf(c, "reported")
    .filter(({ answer }) => answer !== "taken" && answer !== "LEASE_LOST")
    .map(({ answer }) => `a report was refused with ${answer}`);
  return [...calls, ...reports];
}
