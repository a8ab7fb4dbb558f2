/**
 * Calls every method with random requests, made from the descriptors of what is odd: as a hostile tenant with ids of
 * another one, and as nobody, over Connect with JSON, gRPC and gRPC-Web. Nothing finds a defect, nothing hangs,
 * nothing shows what is another's, and nothing stays in memory.
 *
 * Usage: npm run test:hazards -- hostile-calls (SECONDS and SEED in the environment; 60 and 1 by default)
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type create,
  type DescField,
  type DescMessage,
  type DescMethod,
  fromJson,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { ApiKey_Kind as Kind, ApiKey_Role as Role } from "../../gen/taskledger/v1/api_key_pb.ts";
import { ApiKeyService } from "../../gen/taskledger/v1/api_key_service_pb.ts";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import { FlowExecutionService } from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { services } from "../../src/app.ts";
import { bootstrapKey, serviceAt, signIn, startServiceProcess } from "../service.ts";
import { startScriptDatabase } from "./ledger.ts";
import { check, print } from "./report.ts";

const seconds = Number(process.env["SECONDS"] ?? 60);
const seed = Number(process.env["SEED"] ?? 1);
const concurrency = 24;
/** How long a call may take: nothing waits for longer than a call may ask for, which here is a second. */
const mostMs = 15_000;
const mostGrowthMegabytes = 30;
/** Stands in all that the other tenant has, and in nothing that the hostile one sends. */
const canary = "Kanarienvogel-7c1f";

let state = seed;
/** Mulberry32: small, and the same on every machine. */
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;

await using database = await startScriptDatabase();
const folder = await mkdtemp(join(tmpdir(), "taskledger-hostile-"));
const report = join(folder, "heap");
await using service = await startServiceProcess(database.serviceUrl, {
  NODE_OPTIONS: `--import ${new URL("./heap-reporter.ts", import.meta.url)}`,
  HEAP_REPORT: report,
  LOG_LEVEL: "info",
});

/** What a tenant has: what a hostile one would like to know of another. */
interface Tenant {
  readonly key: string;
  readonly ids: readonly string[];
  readonly etags: readonly string[];
}

async function givenTenant(key: string, mark: string): Promise<Tenant> {
  const transport = createGrpcTransport({ baseUrl: service.origin, interceptors: [signIn(key)] });
  const flows = createClient(FlowService, transport);
  const runs = createClient(FlowExecutionService, transport);
  const tasks = createClient(TaskExecutionService, transport);
  const definition = `name: ${mark} flow\ndescription: ${mark}\ntasks: [{name: a, executor: x}, {name: b, executor: x, depends_on: [a], input: "{{a.output}}"}]\n`;
  const { flow } = await flows.createFlow({ definition });
  const ids: string[] = [flow!.id];
  for (const dispatch of [Dispatch.EXTERNAL, Dispatch.MANAGED]) {
    const { flowExecution } = await runs.createFlowExecution({
      flowId: flow!.id,
      requestId: `${mark} ${dispatch}`,
      dispatch,
      labels: { mark },
      input: { kind: { case: "stringValue", value: mark } },
    });
    ids.push(flowExecution!.id);
  }
  const { taskExecution } = await tasks.createTaskExecution({
    flowExecutionId: ids[1]!,
    taskName: "a",
    status: 3,
    output: { kind: { case: "stringValue", value: mark } },
  });
  const { claimed } = await createClient(WorkerService, transport).claimTaskExecutions({
    executors: ["x"],
    maxTaskExecutions: 1,
    workerId: mark,
    requestId: `${mark} claim`,
  });
  ids.push(taskExecution!.id, claimed[0]!.taskExecution!.id);
  return { key, ids, etags: [flow!.etag, taskExecution!.etag] };
}

async function givenOrganization(): Promise<string> {
  const admin = createGrpcTransport({ baseUrl: service.origin, interceptors: [signIn(bootstrapKey)] });
  const created = await createClient(OrganizationService, admin).createOrganization({
    name: `hostile ${randomUUID()}`,
    requestId: randomUUID(),
  });
  const transport = createGrpcTransport({ baseUrl: service.origin, interceptors: [signIn(created.secret)] });
  const { secret } = await createClient(ApiKeyService, transport).createApiKey({
    name: "hostile",
    kind: Kind.WORKER,
    role: Role.ADMIN,
    requestId: randomUUID(),
  });
  return secret;
}

const victim = await givenTenant(bootstrapKey, canary);
const hostile = await givenTenant(await givenOrganization(), "hostile");

const longText = "x".repeat(10_000);
const texts = [
  ...[
    "",
    " ",
    "a",
    "b",
    "x",
    "a\u0000b",
    "a\ud800",
    "e\u0301",
    "é",
    "../../etc",
    "%2f",
    "'; drop table flow; --",
  ],
  ...[
    "\u202e",
    "👩‍👩‍👧",
    "__proto__",
    "constructor",
    "{{a.output}}",
    "{{",
    "$1",
    "\r\n{}",
    "key:value",
    longText,
  ],
  ...["name: hostile 2\ntasks: [{name: a}]\n", "v1.AAAA", "x".repeat(300), "0", "-1", "9".repeat(30)],
];
const integers = [0, 1, -1, 2, 7, 100, 1000, 1001, 2 ** 31 - 1, -(2 ** 31)];
const longs = ["0", "1", "-1", "9223372036854775807", "-9223372036854775808", "12345"];
const durations = ["0s", "0.5s", "1s", "-1s", "0.000000001s", "315576000000s"];
const times = ["2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"];
let deep: JsonValue = 1;
for (let depth = 0; depth < 40; depth++) deep = depth % 2 ? [deep] : { a: deep };
const values: JsonValue[] = [
  ...[
    null,
    0,
    -0,
    1e308,
    "NaN",
    "",
    "a\u0000",
    "a\ud800",
    [],
    {},
    deep,
    { __proto__: 1, "": [null] },
    longText,
  ],
  Array.from({ length: 11_000 }, (_, index) => index),
  "y".repeat(1_100_000),
];

function oddId(): string {
  return pick([
    pick(hostile.ids),
    pick(victim.ids),
    pick(victim.ids),
    randomUUID(),
    "none",
    pick(hostile.ids).toUpperCase(),
  ]);
}

function oddScalar(field: { readonly scalar: ScalarType; readonly name: string }): JsonValue {
  switch (field.scalar) {
    case ScalarType.STRING:
      if (/(^|_)ids?$/.test(field.name) && random() < 0.9) return oddId();
      if (field.name === "etag" && random() < 0.7) return pick([...hostile.etags, ...victim.etags, "1", "2"]);
      return pick(texts);
    case ScalarType.BOOL:
      return random() < 0.5;
    case ScalarType.BYTES:
      return pick(["", "AAAA", "/w=="]);
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return pick(longs);
    default:
      return pick(integers);
  }
}

function oddMessage(message: DescMessage, depth = 0): JsonValue {
  switch (message.typeName) {
    case "google.protobuf.Value":
      return pick(values);
    case "google.protobuf.Struct":
      return { a: pick(values) };
    case "google.protobuf.Duration":
      return pick(durations);
    case "google.protobuf.Timestamp":
      return pick(times);
    case "google.protobuf.FieldMask":
      return pick(["", "input", "output,error", "id", "modifiedBy", "output.a", "*"]);
  }
  const json: JsonObject = {};
  const oneofs = new Set<string>();
  for (const field of message.fields) {
    // Most fields are there: requests that are refused at once find little.
    if (random() < (depth === 0 ? 0.25 : 0.2)) continue;
    if (field.oneof) {
      if (oneofs.has(field.oneof.name) && random() < 0.97) continue;
      oneofs.add(field.oneof.name);
    }
    json[field.jsonName] = oddField(field, depth);
  }
  return json;
}

function oddField(field: DescField, depth: number): JsonValue {
  const one = (): JsonValue => {
    if (field.message) return depth > 4 ? {} : oddMessage(field.message, depth + 1);
    if (field.enum) return pick([...field.enum.values.map(({ number }) => number), 99, -1]);
    return oddScalar({
      scalar: field.fieldKind === "map" ? ScalarType.STRING : (field.scalar ?? ScalarType.STRING),
      name: field.name,
    });
  };
  if (field.fieldKind === "map") return { [pick(texts)]: pick(texts), k: pick(texts) };
  if (field.fieldKind !== "list") return one();
  const count = pick([0, 1, 1, 1, 2, 3, field.message ? 30 : 101, field.message ? 5 : 1001]);
  return Array.from({ length: count }, one);
}

const methods = services
  .flatMap((each) => each.methods)
  .filter(
    // A rotated or revoked key would be the end of this: it is the one that calls.
    ({ name }) => !["RotateApiKey", "RevokeApiKey"].includes(name),
  );
const transports = new Map<string, Transport>();
const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
const tally: Record<string, number> = {};
const findings: string[] = [];
let slowest: [ms: number, what: string] = [0, ""];
let calls = 0;
const keys = [hostile.key, hostile.key, hostile.key, hostile.key, "", "tlk_nobody", `${hostile.key}x`];

async function callOnce(): Promise<void> {
  const method = pick(methods);
  const json = oddMessage(method.input) as JsonObject;
  const key = pick(keys);
  const protocol = pick(["json", "grpc", "grpc-web"] as const);
  const begin = performance.now();
  const { code, text } = await answerOf(protocol, method, json, key);
  const ms = performance.now() - begin;
  calls++;
  tally[code] = (tally[code] ?? 0) + 1;
  const what = `${method.parent.name}/${method.name} over ${protocol}: ${code} after ${ms.toFixed(0)} ms: ${JSON.stringify(json).slice(0, 600)}`;
  if (ms > slowest[0]) slowest = [ms, what];
  if (["internal", "unknown", "data_loss", "unimplemented", "hangs"].includes(code))
    findings.push(`${what} -> ${text.slice(0, 300)}`);
  if (text.includes(canary)) findings.push(`shows what is another's: ${what}`);
  if (key !== hostile.key && code === "ok") findings.push(`answers nobody: ${what}`);
}

async function answerOf(
  protocol: "json" | "grpc" | "grpc-web",
  method: DescMethod,
  json: JsonObject,
  key: string,
): Promise<{ code: string; text: string }> {
  // A wait for the end of a run lasts as long as its caller does.
  const isWait = method.name.startsWith("Wait");
  const signal = AbortSignal.timeout(isWait ? 500 : mostMs);
  const atLast = isWait ? "waited" : "hangs";
  if (protocol === "json" && method.methodKind === "unary") {
    const twice = random() < 0.02;
    const body = JSON.stringify(json);
    return await fetch(`${service.origin}/${method.parent.typeName}/${method.name}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) },
      // A key that is there twice.
      body: twice ? body.replace("{", '{"id":"1","id":"2",') : body,
      signal,
    }).then(
      async (response) => {
        const text = await response.text();
        const code = response.ok
          ? "ok"
          : ((JSON.parse(text) as { code?: string }).code ?? `HTTP ${response.status}`);
        return { code, text };
      },
      (error) => ({
        code: error.name === "TimeoutError" ? atLast : `cut off: ${error.cause?.code}`,
        text: String(error),
      }),
    );
  }
  let input: ReturnType<typeof create>;
  try {
    input = fromJson(method.input, json);
  } catch {
    return { code: "not a message", text: "" };
  }
  const transport = transportOf(protocol === "grpc-web" ? "grpc-web" : "grpc", key);
  try {
    if (method.methodKind === "unary") {
      const { message } = await transport.unary(
        method as never,
        signal,
        undefined,
        undefined,
        input as never,
      );
      return {
        code: "ok",
        text: JSON.stringify(message, (_, value) => (typeof value === "bigint" ? String(value) : value)),
      };
    }
    // A stream of changes: what comes within a moment.
    const brief = AbortSignal.timeout(300 + Math.floor(random() * 1000));
    const { message } = await transport.stream(
      method as never,
      brief,
      undefined,
      undefined,
      once(input) as never,
    );
    let text = "";
    try {
      for await (const each of message)
        text += JSON.stringify(each, (_, value) => (typeof value === "bigint" ? String(value) : value));
    } catch (error) {
      if (!brief.aborted) throw error;
    }
    return { code: key === hostile.key ? "ok" : "watched", text };
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    const name =
      Code[code]?.replace(/[A-Z]/g, (letter, at) => `${at ? "_" : ""}${letter.toLowerCase()}`) ?? "?";
    return { code: signal.aborted ? atLast : name, text: rawMessage };
  }
}

/** One for each key, so that they share connections: the service takes a bounded number. */
function transportOf(protocol: "grpc" | "grpc-web", key: string): Transport {
  const name = `${protocol} ${key}`;
  const options = { baseUrl: service.origin, interceptors: key ? [signIn(key)] : [] };
  const made =
    transports.get(name) ??
    (protocol === "grpc"
      ? // A client holds back what is not sent yet, and with more than 10 MB of that opens no more streams.
        createGrpcTransport({ ...options, nodeOptions: { maxSessionMemory: 1000 } })
      : createGrpcWebTransport({ ...options, httpVersion: "1.1", nodeOptions: { agent } }));
  transports.set(name, made);
  return made;
}

async function* once<T>(value: T): AsyncIterable<T> {
  yield value;
}

/** What is no garbage, in MB. */
async function memory(): Promise<number> {
  await rm(report, { force: true });
  process.kill(service.pid, "SIGUSR2");
  for (;;) {
    const left = await readFile(report, "utf8").catch(() => undefined);
    if (left !== undefined) return Number(left) / 2 ** 20;
    await sleep(20);
  }
}

async function attack(ms: number): Promise<void> {
  const end = performance.now() + ms;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() < end && service.isAlive()) await callOnce();
    }),
  );
}

await attack((seconds * 1000) / 3);
const before = await memory();
await attack((seconds * 2000) / 3);
// What waits for something gives up, and connections close that nobody uses.
await sleep(3000);
const after = await memory();
print(`${calls} calls with seed ${seed} in ${seconds} s: ${JSON.stringify(tally)}`);
print(`the slowest: ${slowest[1]}`);
for (const finding of [...new Set(findings)].slice(0, 20)) print(finding);
check(findings.length === 0, `${findings.length} answers that must not be`);
check(service.isAlive(), "the process is still the same");
check((await fetch(`${service.origin}/readyz`)).ok, "it is ready");
check(
  after - before <= mostGrowthMegabytes,
  `without garbage: ${before.toFixed(0)} MB after a third, ${(after - before).toFixed(1)} MB more at the end`,
);
const kept = await serviceAt(service.port).client(FlowService).listFlows({});
check(kept.flows.length === 1 && kept.flows[0]!.name.includes(canary), "the other tenant has what it had");
await rm(folder, { recursive: true });
