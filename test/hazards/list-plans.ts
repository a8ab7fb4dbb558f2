import { randomBytes, randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { Client } from "pg";
import { FlowExecution_Status as RunStatus } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { ListFlowExecutionsRequestSchema } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { createIdMaker } from "../../src/db/new-id.ts";
import { forOrganization } from "../../src/db/organization.ts";
import { FlowExecution } from "../../src/flow-execution/flow-execution.entity.ts";
import { fromListRequest } from "../../src/flow-execution/flow-execution.message.ts";
import { flowExecutionsOf } from "../../src/flow-execution/list-flow-executions.ts";
import { Organization } from "../../src/organization/organization.entity.ts";
import { getRecord, listEvents, listRecords, type RecordFilter } from "../../src/task-execution/read-path.ts";
import { TaskExecution } from "../../src/task-execution/task-execution.entity.ts";
import { type GivenRun, givenRun } from "../runs.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

/**
 * 100,000 records in 50 organizations: every list and get uses an index whose condition names the organization
 * and reads no table whole, and the thousandth page costs what the first one costs.
 */
const organizations = 50;
const rowsOfFirst = 51_000;
const rowsOfOthers = 1000;
const moreRuns = 100;
const pageSize = 50;
const rounds = 40;
const mostRatio = 1.5;

await using database = await startScriptDatabase();
const { orm } = database;
const superuserUrl = new URL(database.superuserUrl);
superuserUrl.pathname = new URL(database.ownerUrl).pathname;
const superuser = new Client({ connectionString: superuserUrl.href });
superuser.on("error", () => {});
await superuser.connect();

const first = { organizationId: "", run: undefined as GivenRun | undefined };
for (let index = 0; index < organizations; index++) {
  const id = randomUUID();
  const em = forOrganization(orm, id);
  em.create(Organization, { id, name: id, pageTokenKey: randomBytes(32), createTime: new Date() });
  await em.flush();
  const run = await givenRun(orm, id, ["a", "b", "c", "d"]);
  await fill(id, run, index === 0 ? rowsOfFirst : rowsOfOthers);
  if (index === 0) Object.assign(first, { organizationId: id, run });
}
await superuser.query("vacuum analyze");
await superuser.end();

const { organizationId } = first;
const run = first.run!;
const everything: RecordFilter = { statuses: [], showDeleted: false };
const page = { size: pageSize, after: undefined, full: false };
const em = () => forOrganization(orm, organizationId);
const list = (filter: Partial<RecordFilter>) => () =>
  listRecords(em(), organizationId, { ...everything, ...filter }, page);
const newest = (await list({})()).records[0]!;

const service = new Client({ connectionString: database.serviceUrl });
service.on("error", () => {});
await service.connect();
await explain("GetTaskExecution by id", () => getRecord(em(), { id: newest.id }));
await explain("GetTaskExecution by key", () =>
  getRecord(em(), {
    flowExecutionId: run.flowExecutionId,
    taskName: "a",
    taskExecutionIdx: newest.taskExecutionIdx,
  }).catch(() => {}),
);
await explain("ListTaskExecutionEvents", () => listEvents(em(), newest.id, page));
await explain("GetFlowExecution", () => em().findOne(FlowExecution, { id: run.flowExecutionId }));
const { QUEUED, RUNNING } = RunStatus;
for (const statuses of [[], [QUEUED, RUNNING]]) {
  const request = create(ListFlowExecutionsRequestSchema, { statuses });
  await explain(`ListFlowExecutions, of ${statuses.length || "all"} statuses`, () =>
    flowExecutionsOf(em(), fromListRequest(request)).find(undefined, pageSize),
  );
}
for (const [name, filter] of Object.entries<Partial<RecordFilter>>({
  everything: {},
  "deleted too": { showDeleted: true },
  "of a run": { flowExecutionId: run.flowExecutionId },
  "of a flow": { flowId: run.flowId },
  "of a task": { taskName: "b" },
  "of a task of a run": { flowExecutionId: run.flowExecutionId, taskName: "b" },
  "in a status": { statuses: ["failed"] },
  "in two statuses": { statuses: ["failed", "running"] },
  "with a tag": { tag: "t" },
  "since a time": { minCreateTime: new Date(Date.now() - 60_000) },
})) {
  await explain(`ListTaskExecutions, ${name}`, list(filter));
}
await service.end();

/** Lists of many pages: which statuses, and how many pages. */
const longLists: [name: string, statuses: RecordFilter["statuses"], pages: number][] = [
  ["everything", [], 1000],
  ["in five statuses", ["queued", "running", "completed", "failed", "cancelled"], 1000],
  ["in a status and one that nothing is in", ["failed", "stale"], 300],
];
for (const [name, statuses, pages] of longLists) {
  const filter = { ...everything, statuses };
  const [last] = await em().find(
    TaskExecution,
    statuses.length > 0 ? { status: { $in: [...statuses] } } : {},
    {
      orderBy: { id: "desc" },
      offset: (pages - 1) * pageSize - 1,
      limit: 1,
    },
  );
  const [one, far] = await medianOf(
    () => readPage(filter, undefined, pageSize),
    () => readPage(filter, last!.id, pageSize),
  );
  const ratio = Math.max(one, far) / Math.min(one, far);
  check(
    ratio <= mostRatio,
    `${name}, page 1: ${one.toFixed(2)} ms, page ${pages}: ${far.toFixed(2)} ms, ratio ${ratio.toFixed(2)}`,
  );
}
for (const [name, statuses, expected] of [
  ["that only the oldest are in", ["completed", "cancelled"], pageSize],
  ["that nothing is in", ["deleted", "stale"], 0],
] as const) {
  const [one, few] = await medianOf(
    () => readPage(everything, undefined, pageSize),
    () => readPage({ ...everything, statuses, showDeleted: true }, undefined, expected),
  );
  check(
    few <= one * mostRatio,
    `in two statuses ${name}, page 1: ${few.toFixed(2)} ms; page 1 of everything: ${one.toFixed(2)} ms`,
  );
}

async function readPage(filter: RecordFilter, after: string | undefined, expected: number): Promise<void> {
  const { records } = await listRecords(em(), organizationId, filter, { ...page, after });
  if (records.length !== expected) throw new Error(`a page of ${records.length} records`);
}

/** Does two things in turns, so that a busy machine slows both; returns how many milliseconds each takes. */
async function medianOf(a: () => Promise<void>, b: () => Promise<void>): Promise<[a: number, b: number]> {
  const times: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    for (const [index, run] of [a, b].entries()) {
      const begin = performance.now();
      await run();
      times[index]!.push(performance.now() - begin);
    }
  }
  return [median(times[0]), median(times[1])];
}

/** Stores records without going through the service, which would take minutes. */
async function fill(
  organization: string,
  { flowId, flowExecutionId }: GivenRun,
  rows: number,
): Promise<void> {
  await superuser.query(
    `insert into flow_execution
     select (jsonb_populate_record(f, jsonb_build_object(
       'id', gen_random_uuid(), 'run_number', n + 1, 'request_id', n::text))).*
     from flow_execution as f, generate_series(1, $2) as n where f.id = $1`,
    [flowExecutionId, moreRuns],
  );
  const newId = createIdMaker();
  const ids = Array.from({ length: rows }, () => newId());
  await superuser.query(
    `insert into task_execution
     select $1, id, $2, $3, (array['a', 'b', 'c', 'd'])[1 + n % 4], n, status, null, '{}', null, null, 2, false, 1,
       'system', now(), now(), null, case when status not in ('queued', 'running') then now() end, null
     from (
       select id, n, case
         -- The oldest tenth ended otherwise: those a planner would look for among the newest.
         when n <= cardinality($4::uuid[]) / 10 then (array['completed', 'cancelled'])[1 + n % 2]
         else (array['queued', 'running', 'failed'])[1 + n % 3]
       end as status
       from unnest($4::uuid[]) with ordinality as given(id, n)
     ) as given`,
    [organization, flowExecutionId, flowId, ids],
  );
  await superuser.query(
    `insert into event (
       organization_id, flow_execution_id, revision, task_execution_id, type, to_status, actor_subject, actor_kind,
       actor_key_name, reason, request_id, changed_fields, create_time, feed_shard, feed_position
     )
     select $1, $2, n, id, 'create', 'queued', 's', 'worker', 'k', '', 'r', '[]', now(), 0, n
     from unnest($3::uuid[]) with ordinality as given(id, n)`,
    [organization, flowExecutionId, ids],
  );
  await superuser.query(
    "insert into task_tag select $1, id, case n % 100 when 0 then 't' else 'other' end, '{}', now() from unnest($2::uuid[]) with ordinality as given(id, n)",
    [organization, ids],
  );
}

/** Takes down the statements that something sends, and has PostgreSQL say how it would run each. */
async function explain(name: string, run: () => Promise<unknown>): Promise<void> {
  const sent: [sql: string, values: unknown[]][] = [];
  const { query } = Client.prototype;
  Client.prototype.query = function (this: Client, ...args: unknown[]) {
    const [first, given] = args as [string | { text: string; values?: unknown[] }, unknown[]?];
    // What connections keep by a name comes with it, behind a comment that says so.
    const { text, values = [] } = typeof first === "string" ? { text: first, values: given } : first;
    sent.push([text.replace(/^\/\*.*?\*\//, ""), values]);
    return query.apply(this, args as never);
  } as never;
  await run().finally(() => {
    Client.prototype.query = query;
  });
  const faults: string[] = [];
  let plans = 0;
  for (const [sql, values] of sent.filter(([sql]) => /^\s*select/i.test(sql) && /\bfrom\b/i.test(sql))) {
    await service.query("begin");
    await service.query("select set_config('app.organization_id', $1, true)", [organizationId]);
    const { rows } = await service.query<{ "QUERY PLAN": string }>(`explain ${sql}`, values);
    await service.query("rollback");
    const plan = rows.map((row) => row["QUERY PLAN"].slice(0, 160)).join("\n");
    plans++;
    // Fifty organizations' runs fit a page or two: reading those whole is right. What grows is records.
    if (/Seq Scan on (task_execution|event|task_tag)/.test(plan))
      faults.push(`reads a table whole:\n${plan}`);
    if (!/Index Cond: .*organization_id/.test(plan))
      faults.push(`no index condition on the organization:\n${plan}`);
  }
  check(
    plans > 0 && faults.length === 0,
    `${name}: ${plans} statements${faults.map((fault) => `\n${fault}`).join("")}`,
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

print("done");
