import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  type TaskExecutionChange,
  TaskExecutionService,
  type WatchTaskExecutionsResponse,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { forOrganization } from "../../src/db/organization.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { insertEvents } from "../../src/task-execution/event-statements.ts";
import { shardOf } from "../../src/task-execution/feed-shard.ts";
import { callerFrom, clientOf, outcomeOf } from "../client.ts";
import { asSuperuser, givenOrganization, openDatabase, type TestDatabase } from "../database.ts";
import { type GivenRun, givenRun } from "../runs.ts";
import { startServiceProcess } from "../service.ts";
import { eventRow } from "./event-row.ts";
import { startWatchServer } from "./watch-server.ts";
import { describeChanges, listen } from "./watcher.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database.close());

const changesOf = (heard: readonly WatchTaskExecutionsResponse[]): TaskExecutionChange[] =>
  heard.flatMap(({ content }) =>
    content.case === "snapshot" || content.case === "changes" ? content.value.taskExecutions : [],
  );

/** Makes runs until there are two of one shard, and one of another. */
async function givenShards(organizationId: string): Promise<[GivenRun, GivenRun, GivenRun]> {
  const runs: GivenRun[] = [];
  for (;;) {
    runs.push(await givenRun(database.orm, organizationId, ["a"]));
    const shards = Map.groupBy(runs, ({ flowExecutionId }) => shardOf(flowExecutionId));
    const two = [...shards.values()].find(({ length }) => length > 1);
    const other = [...shards.values()].find(({ length }) => length === 1);
    if (two && other) return [two[0]!, two[1]!, other[0]!];
  }
}

describe("the feed", () => {
  /**
   * A writer takes its places and does not commit for a while; others write meanwhile. A cursor that follows numbers
   * which were given out before the commit would pass the slow one by.
   */
  test("loses no event of a slow writer, and lets writers of other shards pass", async () => {
    const organizationId = await givenOrganization(database.orm);
    const [slow, behind, apart] = await givenShards(organizationId);
    const tasks = clientOf(TaskExecutionService, database, callerFrom(organizationId));
    const report = ({ flowExecutionId }: GivenRun) =>
      tasks.createTaskExecution({ flowExecutionId, taskName: "a", status: Status.QUEUED });
    await using watcher = listen((options) => tasks.watchTaskExecutions({}, options));
    await watcher.untilCase("synced");

    const open = Promise.withResolvers<void>();
    const written = Promise.withResolvers<void>();
    const em = forOrganization(database.orm, organizationId);
    const event = eventRow(slow.flowExecutionId, "1");
    const slowly = em.transactional(async (tx) => {
      await insertEvents(tx, organizationId, [event], new Date());
      // It is sent without waiting for it, and locked when the next statement is answered.
      await tx.execute("select 1");
      written.resolve();
      await open.promise;
    });
    await written.promise;
    let isBehind = true;
    const second = report(behind).finally(() => {
      isBehind = false;
    });
    // It is written apart, not along with the one that waits.
    const waiting = () =>
      asSuperuser(
        database.superuserUrl,
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      );
    await expect.poll(waiting).toHaveLength(1);
    await report(apart);
    const first = await watcher.untilCase("changes");
    expect(changesOf([first]).map(({ change }) => change.value)).toMatchObject([
      { flowExecutionId: apart.flowExecutionId },
    ]);
    expect(isBehind).toBe(true);
    open.resolve();
    await Promise.all([slowly, second]);
    const last = await watcher.untilCase("changes");
    expect(changesOf([last]).map(({ change }) => change.value)).toMatchObject([
      { flowExecutionId: behind.flowExecutionId },
    ]);
    const places = await asSuperuser<{ feed_position: string }>(
      database.superuserUrl,
      "select feed_position::text from event where organization_id = $1 and feed_shard = $2 order by 1",
      [organizationId, shardOf(slow.flowExecutionId)],
    );
    expect(places.map(({ feed_position }) => feed_position)).toEqual(["1", "2"]);
  });

  test("numbers events without gaps, whoever fails in between, and in the order of each run's revisions", async () => {
    const organizationId = await givenOrganization(database.orm);
    const tasks = clientOf(TaskExecutionService, database, callerFrom(organizationId));
    const runs = await Promise.all(
      Array.from({ length: 6 }, () => givenRun(database.orm, organizationId, ["a"])),
    );
    const write = async (writer: number) => {
      for (let round = 0; round < 8; round++) {
        const requests = runs.map(({ flowExecutionId }) => ({
          flowExecutionId,
          taskName: "a",
          taskExecutionIdx: writer * 100 + round,
          status: Status.QUEUED,
        }));
        // Some in another order, and one that fails as a whole after its work is done.
        await tasks.batchCreateTaskExecutions({ requests: writer % 2 ? requests : requests.reverse() });
        const em = forOrganization(database.orm, organizationId);
        await em
          .transactional(async (tx) => {
            const revision = String(1_000_000 + writer * 1000 + round);
            const row = eventRow(runs[0]!.flowExecutionId, revision);
            await insertEvents(tx, organizationId, [row], new Date());
            throw new Error("undone");
          })
          .catch(() => undefined);
      }
    };
    await Promise.all([0, 1, 2, 3].map(write));
    const bad = await asSuperuser(
      database.superuserUrl,
      `with numbered as (
         select e.*, row_number() over (partition by feed_shard order by feed_position) as turn,
           row_number() over (partition by flow_execution_id order by revision) as by_revision,
           row_number() over (partition by flow_execution_id order by feed_position) as by_position
         from event as e where organization_id = $1
       )
       select feed_shard from numbered where turn <> feed_position or by_revision <> by_position
       union all
       select f.shard from feed as f where f.organization_id = $1 and f.position <> (
         select count(*) from event as e where e.organization_id = $1 and e.feed_shard = f.shard
       )`,
      [organizationId],
    );
    expect(bad).toEqual([]);
    const [{ events } = { events: 0 }] = await asSuperuser<{ events: number }>(
      database.superuserUrl,
      "select count(*)::int as events from event where organization_id = $1",
      [organizationId],
    );
    expect(events).toBe(6 * 4 * 8);
  });
});

describe("a process", () => {
  test("asks the database once for a change, however many watch, and not at all when nobody does", async () => {
    const organizationId = await givenOrganization(database.orm);
    const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
    // No looks but those that are rung for.
    const watchLimits = { busyPollMs: 600_000, idlePollMs: 600_000 };
    await using server = await startWatchServer(database.orm, {
      authenticate: async () => callerFrom(organizationId),
      watchLimits,
    });
    const tasks = server.client(TaskExecutionService);
    const report = (taskExecutionIdx: number) =>
      tasks.createTaskExecution({ flowExecutionId, taskName: "a", taskExecutionIdx, status: Status.QUEUED });
    await report(0);
    expect(server.feeds.figures).toEqual({ streams: 0, looks: 0 });
    const watchers = Array.from({ length: 50 }, () =>
      listen((options) => tasks.watchTaskExecutions({ flowExecutionId }, options)),
    );
    await Promise.all(watchers.map((watcher) => watcher.untilCase("synced")));
    const before = server.feeds.figures.looks;
    for (let idx = 1; idx <= 5; idx++) {
      await report(idx);
      const told = await Promise.all(watchers.map((watcher) => watcher.untilCase("changes")));
      expect(new Set(told.flatMap((response) => describeChanges(changesOf([response]))))).toEqual(
        new Set([`a/${idx} ${idx + 1}`]),
      );
    }
    expect(server.feeds.figures.looks - before).toBe(5);
    for (const watcher of watchers) watcher.close();
    await expect.poll(() => server.feeds.figures.streams).toBe(0);
  });

  test("tells what others wrote within a second, though nobody rings and its connections are killed", async () => {
    const organizationId = await givenOrganization(database.orm);
    const { flowExecutionId } = await givenRun(database.orm, organizationId, ["a"]);
    await using server = await startWatchServer(database.orm, {
      authenticate: async () => callerFrom(organizationId),
      watchLimits: { idleAfterMs: 0 },
    });
    // Another application on the same database: it does not ring here.
    const elsewhere = clientOf(TaskExecutionService, database, callerFrom(organizationId));
    const watching = server.client(TaskExecutionService);
    await using watcher = listen((options) => watching.watchTaskExecutions({ flowExecutionId }, options));
    await watcher.untilCase("synced");
    const told: string[] = [];
    for (let taskExecutionIdx = 0; taskExecutionIdx < 3; taskExecutionIdx++) {
      if (taskExecutionIdx === 1) {
        await asSuperuser(
          database.superuserUrl,
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'taskledger' and datname = current_database()",
        );
      }
      const report = { flowExecutionId, taskName: "a", taskExecutionIdx, status: Status.QUEUED };
      // The writer's own connections are gone as well: it repeats, as any client does.
      await expect.poll(() => outcomeOf(elsewhere.createTaskExecution(report))).toBe("ok");
      told.push(...describeChanges(changesOf([await watcher.untilCase("changes")])));
    }
    expect(told).toEqual(["a/0 1", "a/1 2", "a/2 3"]);
  });

  test("tells what another process wrote as soon as that says so", async () => {
    await using one = await startServiceProcess(database.serviceUrl);
    await using two = await startServiceProcess(database.serviceUrl);
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["a"]);
    const watching = one.client(TaskExecutionService);
    const writing = two.client(TaskExecutionService);
    const report = (taskExecutionIdx: number) =>
      writing.createTaskExecution({
        flowExecutionId,
        taskName: "a",
        taskExecutionIdx,
        status: Status.QUEUED,
      });
    await using watcher = listen((options) => watching.watchTaskExecutions({ flowExecutionId }, options));
    await watcher.untilCase("synced");
    const listener = new Client({ connectionString: database.superuserUrl });
    await listener.connect();
    try {
      const said: string[] = [];
      listener.on("notification", ({ payload }) => said.push(payload ?? ""));
      await listener.query("listen taskledger_change");
      await report(0);
      await watcher.untilCase("changes");
      await expect.poll(() => said).toEqual([defaultOrganizationId]);
    } finally {
      await listener.end();
    }
  });
});

test("a stream that is further behind than what is kept reads on from the database, and loses nothing", async () => {
  const organizationId = await givenOrganization(database.orm);
  const { flowExecutionId, flowId } = await givenRun(database.orm, organizationId, ["a"]);
  await using server = await startWatchServer(database.orm, {
    authenticate: async () => callerFrom(organizationId),
    watchLimits: { keptEntries: 10, changesPerMessage: 32 },
  });
  const tasks = server.client(TaskExecutionService);
  await using present = listen((options) => tasks.watchTaskExecutions({}, options));
  await present.untilCase("synced");
  const tokens = [present.token()];
  for (let batch = 0; batch < 5; batch++) {
    const requests = Array.from({ length: 40 }, (_, index) => ({
      flowExecutionId,
      taskName: "a",
      taskExecutionIdx: batch * 40 + index,
      status: Status.QUEUED,
    }));
    await tasks.batchCreateTaskExecutions({ requests });
  }
  const missed = new Map<string, Set<string>>();
  for (const filter of [{}, { flowId }]) {
    const resumeToken = "flowId" in filter ? "" : tokens[0]!;
    await using late = listen((options) => tasks.watchTaskExecutions({ ...filter, resumeToken }, options));
    await late.untilCase("synced");
    const told = describeChanges(changesOf(late.heard));
    expect(new Set(told).size).toBe(told.length);
    missed.set(JSON.stringify(filter), new Set(told));
  }
  expect([...missed.values()].map(({ size }) => size)).toEqual([200, 200]);
  // And the one that was there all the while, whatever it missed of what was kept.
  while (new Set(describeChanges(changesOf(present.heard))).size < 200) await present.untilCase("changes");
  expect(describeChanges(changesOf(present.heard))).toHaveLength(200);
});
