/**
 * Breaks a watcher off a thousand times at random moments, while everything it watches changes: each time it goes on
 * with its last token, at one of two service processes by chance. It misses nothing, sees nothing twice, and what it has
 * put together in the end is what the table holds.
 *
 * Usage: node test/hazards/watch-resume.ts [disconnects = 1000]
 */
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { givenRun } from "../runs.ts";
import { startServiceProcess } from "../service.ts";
import { followChurn } from "../watch/follower.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const disconnects = Number(process.argv[2] ?? 1000);
const writers = 4;

await using database = await startScriptDatabase();
await using one = await startServiceProcess(database.serviceUrl);
await using two = await startServiceProcess(database.serviceUrl);
const clients = [one, two].map((service) => ({
  tasks: service.client(TaskExecutionService),
  runs: service.client(FlowExecutionService),
}));
const runs = await Promise.all(
  Array.from({ length: 8 }, () => givenRun(database.orm, defaultOrganizationId, ["a"])),
);
const ids = runs.map(({ flowExecutionId }) => flowExecutionId);
const pick = (count: number) => Math.floor(Math.random() * count);

const begin = performance.now();
const followed = await followChurn(clients, ids, pick, { writers, disconnects });
const seconds = (performance.now() - begin) / 1000;

print(`     ${followed.attempts} attempts to change something in ${seconds.toFixed(0)} s`);
check(followed.connections >= disconnects, `${followed.connections} connections at two processes`);
check(followed.changes > disconnects, `${followed.changes} changes told`);
check(
  followed.faults.length === 0,
  `${followed.faults.length} states told twice or late ${followed.faults.slice(0, 3).join("; ")}`,
);
check(followed.state.join() === followed.final, `${followed.state.length} records, the same as in the table`);
