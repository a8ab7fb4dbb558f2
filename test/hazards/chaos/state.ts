import type { LiveStatus, Status } from "../../../src/task-execution/lifecycle.ts";
import type { ScriptDatabase } from "../ledger.ts";

/** A record as it is stored. Payloads are JSON text. */
export interface StoredTask {
  readonly id: string;
  readonly run: string;
  readonly name: string;
  readonly idx: number;
  readonly status: LiveStatus;
  readonly input: string | null;
  readonly output: string | null;
  readonly edited: boolean;
  readonly iteration: number | null;
  readonly generation: number;
  /** The fencing token, null if it was never claimed. */
  readonly token: string | null;
}

/** An entry of the event log. */
export interface StoredEvent {
  readonly run: string;
  readonly revision: number;
  readonly task: string | null;
  readonly type: string;
  readonly from: Status | null;
  readonly to: Status;
  readonly requestId: string;
  readonly causeId: string | null;
  readonly changed: readonly string[];
}

/** A run as it is stored. */
export interface StoredRun {
  readonly id: string;
  readonly status: Status;
  readonly revision: number;
}

/** What the database holds at the end. */
export interface State {
  readonly runs: ReadonlyMap<string, StoredRun>;
  readonly tasks: readonly StoredTask[];
  /** By revision, those of each run together. */
  readonly events: readonly StoredEvent[];
  /** How many leases there still are. */
  readonly leases: number;
}

/** Reads all that the database holds. */
export async function readState(database: ScriptDatabase): Promise<State> {
  const runs = await database.query<StoredRun>(`
    select id, status, revision::int
    from flow_execution
  `);
  const tasks = await database.query<StoredTask>(`
    select id, flow_execution_id as run, task_name as name, task_execution_idx as idx, status, input, output, edited,
      iteration, generation, lease_token::text as token
    from task_execution
    order by run, name, idx
  `);
  const events = await database.query<Omit<StoredEvent, "changed"> & { changed: string }>(`
    select flow_execution_id as run, revision::int, task_execution_id as task, type, from_status as "from",
      to_status as "to", request_id as "requestId", cause_id as "causeId", changed_fields as changed
    from event
    order by run, revision
  `);
  const [lease] = await database.query<{ count: number }>("select count(*)::int from task_lease");
  return {
    runs: new Map(runs.map((run) => [run.id, run])),
    tasks,
    events: events.map((event) => ({ ...event, changed: JSON.parse(event.changed) as string[] })),
    leases: lease!.count,
  };
}
