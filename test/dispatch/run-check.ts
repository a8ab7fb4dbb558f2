import { Client } from "pg";
import type { TestDatabase } from "../database.ts";

/** What the database holds of one task execution, as far as the state of its run follows from it. */
export interface Row {
  readonly id: string;
  readonly task: string;
  readonly idx: number;
  readonly status: string;
  readonly iteration: number | null;
  readonly generation: number;
  readonly rerun: boolean;
  readonly isLeased: boolean;
  readonly isClaimable: boolean;
}

/** A task as a test knows it. */
export interface KnownTask {
  readonly name: string;
  readonly dependsOn: readonly string[];
  readonly isLoop: boolean;
  readonly mayFail: boolean;
}

/** Looks at runs past the service, and says what does not fit together. */
export interface RunCheck {
  rows(runId: string): Promise<Row[]>;
  /** Returns what is wrong with a run, reckoned plainly from all its rows; nothing if all is well. */
  faultsOf(runId: string, tasks: readonly KnownTask[]): Promise<string[]>;
  /** Lets everything that waits for a backoff be claimed now, and every lease be over. */
  hurry(runId: string): Promise<void>;
  close(): Promise<void>;
}

/** Opens a connection of the superuser for looking at runs. */
export async function openRunCheck({ superuserUrl }: TestDatabase): Promise<RunCheck> {
  const client = new Client({ connectionString: superuserUrl });
  await client.connect();

  async function rows(runId: string): Promise<Row[]> {
    const found = await client.query(
      `select t.id, t.task_name as task, t.task_execution_idx as idx, t.status, t.iteration, t.generation, t.rerun,
         l.token is not null and l.token = t.lease_token as "isLeased",
         t.available_time is not null as "isClaimable"
       from task_execution t
       left join task_lease l on l.organization_id = t.organization_id and l.task_execution_id = t.id
       where t.flow_execution_id = $1
       order by t.task_name, t.task_execution_idx`,
      [runId],
    );
    return found.rows;
  }

  return {
    rows,
    async faultsOf(runId, tasks) {
      const { rows: runs } = await client.query("select * from flow_execution where id = $1", [runId]);
      const [run] = runs;
      const all = await rows(runId);
      const states = new Map(tasks.map((task) => [task.name, stateOf(task, all)]));
      const isDeleted = run.delete_time !== null;
      return [
        ...countFaults(run, states),
        ...(run.cancel_time !== null || isDeleted ? [] : readyFaults(tasks, states)),
        ...all.flatMap((row) => holdFaults(row, isDeleted)),
      ];
    },
    async hurry(runId) {
      await client.query(
        "update task_execution set available_time = now() where flow_execution_id = $1 and available_time > now()",
        [runId],
      );
      await client.query(
        "update task_lease set expire_time = now() - interval '1 hour' where flow_execution_id = $1",
        [runId],
      );
    },
    close: () => client.end(),
  };
}

interface State {
  /** Undefined if it has no record that is not deleted. */
  readonly status: string | undefined;
  readonly rerun: boolean;
  readonly neverRan: boolean;
}

function stateOf({ name, isLoop }: KnownTask, all: readonly Row[]): State {
  const own = all.filter(({ task }) => task === name);
  const live = own.filter(({ status }) => status !== "deleted");
  const newest = live.at(-1);
  const state = { rerun: own.at(-1)?.rerun ?? false, neverRan: own.length === 0 };
  if (newest === undefined || !isLoop) {
    return { ...state, status: newest?.status };
  }
  const items = new Map<number | null, string>();
  for (const { generation, iteration, status } of live) {
    if (generation === newest.generation) items.set(iteration, status);
  }
  const worst = ["failed", "cancelled", "stale"].find((status) => [...items.values()].includes(status));
  const open = ["running", "queued"].find((status) => live.some((row) => row.status === status));
  return { ...state, status: open ?? worst ?? "completed" };
}

function countFaults(run: Readonly<Record<string, unknown>>, states: ReadonlyMap<string, State>): string[] {
  return ["queued", "running", "completed", "failed", "cancelled", "stale"].flatMap((status) => {
    const count = [...states.values()].filter((state) => state.status === status).length;
    const told = run[`${status}_tasks`];
    return told === count ? [] : [`${told} tasks are counted as ${status}, and ${count} are`];
  });
}

/** A task that could run and has no record for it would never run: its run hangs. */
function readyFaults(tasks: readonly KnownTask[], states: ReadonlyMap<string, State>): string[] {
  const mayFail = new Map(tasks.map((task) => [task.name, task.mayFail]));
  return tasks.flatMap(({ name, dependsOn }) => {
    const { status, rerun, neverRan } = states.get(name)!;
    const isDue = neverRan || (rerun && status !== "queued" && status !== "running");
    const isReady = dependsOn.every((upstream) => {
      const state = states.get(upstream)!;
      return (
        !state.rerun && (state.status === "completed" || (state.status === "failed" && mayFail.get(upstream)))
      );
    });
    return isDue && isReady ? [`${name} is ready and was not made`] : [];
  });
}

function holdFaults({ task, idx, status, isLeased, isClaimable }: Row, isDeleted: boolean): string[] {
  const isHeld = status === "running" && !isDeleted;
  if (isLeased !== isHeld) {
    return [`${task}/${idx} is ${status} and ${isLeased ? "" : "not "}leased`];
  }
  return status === "queued" && isClaimable === isDeleted ? [`${task}/${idx} cannot be claimed`] : [];
}
