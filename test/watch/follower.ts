import type { Client } from "@connectrpc/connect";
import { FlowExecution_Status as FlowStatus } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import type { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskTagOperation_Action as Action,
  type TaskExecutionChange,
  type TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";

export type Tasks = Client<typeof TaskExecutionService>;
export type Runs = Client<typeof FlowExecutionService>;

/** From 0 up to, and without, a number. */
export type Pick = (count: number) => number;

/** What someone knows who follows a watch and is broken off again and again. */
export interface Followed {
  readonly connections: number;
  readonly changes: number;
  /** What must never happen: a state that was told twice, or a revision that came after a later one. */
  readonly faults: readonly string[];
  /** `id etag` of what is there. */
  readonly state: readonly string[];
}

/** Who calls one server. */
export interface Callers {
  readonly tasks: Tasks;
  readonly runs: Runs;
}

/**
 * Follows as {@link follow} does while everything changes, until it was broken off so many times; then goes on until it
 * knows what is there.
 *
 * @param ids the runs that change
 */
export async function followChurn(
  servers: readonly Callers[],
  ids: readonly string[],
  pick: Pick,
  { writers, disconnects }: { readonly writers: number; readonly disconnects: number },
): Promise<Followed & { readonly attempts: number; readonly final: string }> {
  let connected = 0;
  let attempts = 0;
  let final: string | undefined;
  const write = async (writer: number) => {
    while (connected < disconnects) {
      await churn(servers[writer % servers.length]!, ids, pick);
      attempts++;
    }
  };
  const writing = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer))).then(
    async () => {
      final = (await listState(servers[0]!.tasks)).join();
    },
  );
  const followed = await follow(
    servers.map(({ tasks }) => tasks),
    pick,
    (state, connections) => {
      connected = connections;
      return state.join() === final;
    },
  );
  await writing;
  return { ...followed, attempts, final: final! };
}

/** How long a connection lasts at most, in milliseconds. */
const mostMs = 200;

/**
 * Follows all task executions of an organization: hangs up at random moments and goes on with its last token at a
 * server of its choice, until it knows what it is to know in the end.
 */
export async function follow(
  servers: readonly Tasks[],
  pick: Pick,
  isDone: (state: readonly string[], connections: number) => boolean,
): Promise<Followed> {
  const records = new Map<string, { run: string; etag: string; revision: bigint }>();
  const revisions = new Map<string, bigint>();
  const faults: string[] = [];
  let resumeToken = "";
  let connections = 0;
  let changes = 0;
  const state = () => [...records].map(([id, { etag }]) => `${id} ${etag}`).sort();

  function learn({ change, revision }: TaskExecutionChange, isChange: boolean): void {
    const run = change.value!.flowExecutionId;
    const { id } = change.value!;
    const known = records.get(id)?.revision ?? -1n;
    if (revision <= known) faults.push(`${id}: ${revision} after ${known}`);
    if (isChange) {
      changes++;
      const last = revisions.get(run) ?? -1n;
      if (revision <= last) faults.push(`run ${run}: ${revision} after ${last}`);
      revisions.set(run, revision);
    }
    if (change.case === "taskExecution") {
      records.set(id, { run, etag: change.value.etag, revision });
    } else if (id === "") {
      for (const [key, record] of records) if (record.run === run) records.delete(key);
    } else {
      records.delete(id);
    }
  }

  while (!isDone(state(), connections)) {
    connections++;
    const hangUp = new AbortController();
    // In the middle of a message or of nothing, now and then before anything was told.
    const timer = setTimeout(() => hangUp.abort(), pick(mostMs));
    const tasks = servers[pick(servers.length)]!;
    try {
      for await (const { content, resumeToken: token } of tasks.watchTaskExecutions(
        { resumeToken },
        { signal: hangUp.signal },
      )) {
        resumeToken = token;
        if (content.case === "resync") records.clear();
        if (content.case === "snapshot") for (const item of content.value.taskExecutions) learn(item, false);
        if (content.case === "changes") for (const item of content.value.taskExecutions) learn(item, true);
        if (isDone(state(), connections)) break;
      }
    } catch (error) {
      if (!hangUp.signal.aborted) throw error;
    }
    clearTimeout(timer);
    hangUp.abort();
  }
  return { connections, changes, faults, state: state() };
}

/** Changes what runs and task executions there are in every way, at random; what is refused is refused. */
export async function churn(
  { tasks, runs }: { readonly tasks: Tasks; readonly runs: Runs },
  ids: readonly string[],
  pick: Pick,
): Promise<void> {
  const flowExecutionId = ids[pick(ids.length)]!;
  const key = { flowExecutionId, taskName: "a", taskExecutionIdx: pick(200) };
  const find = async () =>
    (await tasks.getTaskExecution({ lookup: { case: "key", value: key } })).taskExecution!.id;
  const action = pick(20);
  try {
    if (action < 14) {
      const status = [Status.QUEUED, Status.RUNNING, Status.COMPLETED, Status.FAILED][pick(4)]!;
      await tasks.createTaskExecution({ ...key, status });
    } else if (action < 16) {
      await tasks.deleteTaskExecution({ id: await find() });
    } else if (action < 17) {
      await tasks.undeleteTaskExecution({ id: await find() });
    } else if (action < 19) {
      await tasks.updateTaskTags({
        operations: [{ action: [Action.ADD, Action.REMOVE][pick(2)]!, id: await find(), tag: "t" }],
      });
    } else {
      const { flowExecution } = await runs.getFlowExecution({ id: flowExecutionId });
      const isDeleted = flowExecution!.status === FlowStatus.DELETED;
      if (isDeleted) await runs.undeleteFlowExecution({ id: flowExecutionId });
      else if (pick(4) === 0) await runs.deleteFlowExecution({ id: flowExecutionId });
    }
  } catch {
    // Refused, as by the lifecycle.
  }
}

/** Returns `id etag` of every record that a list shows. */
export async function listState(tasks: Tasks): Promise<string[]> {
  const state: string[] = [];
  for (let pageToken = ""; ; ) {
    const page = await tasks.listTaskExecutions({ pageSize: 1000, pageToken });
    state.push(...page.taskExecutions.map(({ id, etag }) => `${id} ${etag}`));
    pageToken = page.nextPageToken;
    if (pageToken === "") return state.sort();
  }
}
