/**
 * Sends random requests, most of them broken, over HTTP/2 and HTTP/1.1: the process must stay the same, answer
 * each one, find no defect in itself, and keep nothing of them.
 *
 * Usage: node test/hazards/header-fuzz.ts [requests = 100000] [seed = 1]
 */
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { createFuzzer, fuzzHttp1, fuzzHttp2, seededRandom, type Tally } from "../server/header-fuzz.ts";
import { check, print } from "./report.ts";
import { startServerProcess } from "./server-process.ts";

const requests = Number(process.argv[2] ?? 100_000);
const seed = Number(process.argv[3] ?? 1);
const paths = [
  ...TaskExecutionService.methods.map(({ name }) => `/${TaskExecutionService.typeName}/${name}`),
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/Watch",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/** How much more it may hold after all requests than after the first third. */
const mostMegabytes = 3;

const server = await startServerProcess();
const before = await server.memory();
const fuzzer = createFuzzer(seededRandom(seed), paths);
const tally: Tally = {};
const start = performance.now();
const held: number[] = [];
for (let third = 0; third < 3; third++) {
  await fuzzHttp2(server.origin, fuzzer, Math.round((requests * 0.8) / 3), tally);
  await fuzzHttp1(server.port, fuzzer, Math.round((requests * 0.2) / 3), tally);
  held.push(await server.held());
}
const took = (performance.now() - start) / 1000;

print(`${requests} requests with seed ${seed} in ${took.toFixed(1)} s`);
for (const [outcome, count] of Object.entries(tally).sort(([, a], [, b]) => b - a)) {
  print(`     ${String(count).padStart(7)} ${outcome}`);
}
check(server.isAlive(), `the process ${server.pid} is still the same`);
const ready = await fetch(`${server.origin}/readyz`).then(
  ({ status }) => status,
  () => 0,
);
check(ready === 200, `it is ready: ${ready}`);
check((tally["hangs"] ?? 0) === 0, `no request hangs: ${tally["hangs"] ?? 0}`);
const defects = (tally["HTTP 500"] ?? 0) + (tally["HTTP/1.1 500"] ?? 0);
check(defects === 0, `no request finds a defect: ${defects} answers with HTTP 500`);
const more = held[2]! - held[0]!;
check(
  more <= mostMegabytes,
  `without garbage: ${held[0]!.toFixed(0)} MB after a third, ${more.toFixed(1)} MB more at the end, at most ${mostMegabytes}`,
);
print(`     resident memory ${before} MB before, ${await server.memory()} MB after`);
await server.stop();
