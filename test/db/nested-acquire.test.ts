import { randomUUID } from "node:crypto";
import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ApiKey_Kind as Kind, ApiKey_Role as Role } from "../../gen/taskledger/v1/api_key_pb.ts";
import { ApiKeyService } from "../../gen/taskledger/v1/api_key_service_pb.ts";
import { FlowExecution_Dispatch as Dispatch } from "../../gen/taskledger/v1/flow_execution_pb.ts";
import {
  FlowExecutionService,
  ReExecuteFlowExecutionRequest_Scope as Scope,
} from "../../gen/taskledger/v1/flow_execution_service_pb.ts";
import { FlowService } from "../../gen/taskledger/v1/flow_service_pb.ts";
import { OrganizationService } from "../../gen/taskledger/v1/organization_service_pb.ts";
import { TaskExecution_Status as Status } from "../../gen/taskledger/v1/task_execution_pb.ts";
import {
  TaskTagOperation_Action as Action,
  TaskExecutionService,
} from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { WorkerService } from "../../gen/taskledger/v1/worker_service_pb.ts";
import { services } from "../../src/app.ts";
import { forOrganization } from "../../src/db/organization.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import { defaultOrganizationId } from "../../src/organization/bootstrap.ts";
import { ingestAll, outcomeOf } from "../client.ts";
import { openDatabase, type TestDatabase } from "../database.ts";
import { givenRun } from "../runs.ts";
import { startTestService, type TestService } from "../service.ts";

/** What makes an EntityManager or a connection besides the one of the transaction. */
const openers =
  /\b(inTransaction|emOf|forOrganization|openOrm)\(|\.(transactional|begin|fork|getConnection|acquireConnection)\(|\borm\.em\b|\bnew (Client|Pool)\(/;

/** Where a transaction begins. */
const transaction = /\b(?:inTransaction|\w+\.transactional|\w+\.transact)(?:<\w+>)?\(/g;

/** The files that make EntityManagers and connections by other means than those two functions. */
const makers = [
  "auth/api-key.ts",
  "db/em.ts",
  "db/embedded/provision.ts",
  "db/migrations.ts",
  "db/organization.ts",
  "db/orm.ts",
  "db/probe.ts",
  "db/role-check.ts",
  "db/statistics.ts",
  "db/transaction.ts",
  "dispatch/intercom.ts",
  "dispatch/sweeper.ts",
  "import/grpc-client.ts",
  "organization/bootstrap.ts",
  "organization/organization-service.ts",
  "prepare.ts",
  "processes/fork.ts",
  "task-execution/coalesced-reads.ts",
  "task-execution/coalesced-writes.ts",
  "watch/feeds.ts",
];

/** Returns the text without comments and without what stands in quotes but paths, so that brackets can be counted. */
function codeOf(text: string): string {
  return text.replaceAll(/"(?:\\.|[^"\\\n])*"|\/\*[\s\S]*?\*\/|(?<![:\\])\/\/.*/g, (part) =>
    /^"\.[\w./-]*"$/.test(part) ? `'${part.slice(1, -1)}'` : "",
  );
}

/** Returns what stands between the bracket at a place and the one that closes it. */
function inBrackets(code: string, open: number): string {
  let depth = 0;
  for (let at = open; at < code.length; at++) {
    if ("([{".includes(code[at]!)) depth++;
    if (")]}".includes(code[at]!) && --depth === 0) return code.slice(open + 1, at);
  }
  throw new Error(`unbalanced brackets: ${code.slice(open, open + 80)}`);
}

/** Returns the functions and methods that a file declares by name, each with its body. */
function functionsOf(code: string): [name: string, body: string][] {
  const heads =
    /^(?:(?:export )?(?:async )?function | {2}(?:static )?(?:async )?(?=#?\w+\())(#?\w+)(?:<[^(]*>)?\(/gm;
  return [...code.matchAll(heads)].flatMap((head): [string, string][] => {
    const open = head.index + head[0].length - 1;
    const end = open + inBrackets(code, open).length + 2;
    const type = /^[^\n]*\{$/m.exec(code.slice(end).split("\n", 1)[0]!);
    return type === null ? [] : [[head[1]!, inBrackets(code, end + type[0].length - 1)]];
  });
}

/** Returns what a piece of a file calls of ours, as the file and the name. What it calls on other objects is unknown. */
function callsOf(file: string, whole: string, piece: string): string[] {
  const imported = new Map(
    [...whole.matchAll(/^import (?!type)\{([^}]*)\} from '(\.[^']*)'/gm)].flatMap(([, names, from]) =>
      names!.split(",").map((name) => [name.trim(), join(file, "..", from!)] as const),
    ),
  );
  const called = [...piece.matchAll(/(?<![\w.#])(?:(\w+)\.)?(#?\w+)(?:<\w+>)?\(/g)];
  return called.flatMap(([, object, name]) => {
    if (object === undefined || object === "this") return `${imported.get(name!) ?? file}#${name}`;
    // An object of a class of ours is named after it, such as writePath.
    return `class#${object}.${name}`;
  });
}

type Sources = ReadonlyMap<string, string>;

/** Returns the functions that open a connection, themselves or by a function that they call. */
function openingFunctions(sources: Sources): Set<string> {
  const functions = [...sources].flatMap(([file, code]) => {
    const object = /^export class (\w)(\w*)/m.exec(code);
    const owner = object ? `class#${object[1]!.toLowerCase()}${object[2]}.` : undefined;
    return functionsOf(code).map(([name, body]) => ({
      names: [`${file}#${name}`, ...(owner ? [`${owner}${name}`] : [])],
      opens: openers.test(body),
      calls: callsOf(file, code, body),
    }));
  });
  const opening = new Set<string>();
  for (let before = -1; before < opening.size; ) {
    before = opening.size;
    for (const { names, opens, calls } of functions) {
      if (opens || calls.some((call) => opening.has(call))) names.forEach((name) => void opening.add(name));
    }
  }
  return opening;
}

/** Returns what would take a second connection while a transaction holds one, each with its file. */
function nestedAcquires(sources: Sources): string[] {
  const opening = openingFunctions(sources);
  return [...sources].flatMap(([file, code]) =>
    [...code.matchAll(transaction)].flatMap(({ 0: head, index }) => {
      const inside = inBrackets(code, index + head.length - 1);
      const callback = /(?:async )?\(?(\w*)(?:: \w+)?\)? =>/.exec(inside);
      const body = callback === null ? "" : inside.slice(callback.index + callback[0].length);
      // The EntityManager that the transaction was begun on works outside of it.
      const outer = (head.startsWith("in") ? inside.split(",", 1)[0] : head.split(".", 1)[0])!;
      // A write path works on nothing by itself: its methods are looked at like all others.
      const isHidden = head.includes(".transact(") || !/^\w+$/.test(outer) || outer === callback?.[1];
      const found = [
        ...(openers.exec(body) ?? []).slice(0, 1),
        ...callsOf(file, code, body).filter((call) => opening.has(call)),
        ...(!isHidden && new RegExp(`(?<![.\\w])${outer}\\b(?!:)`).test(body) ? [outer] : []),
      ];
      return found.map((what) => `${file}: ${what}`);
    }),
  );
}

describe("the code", () => {
  let sources: Map<string, string>;

  beforeAll(async () => {
    const root = join(import.meta.dirname, "../../src");
    sources = new Map();
    for await (const file of glob("**/*.ts", { cwd: root })) {
      // Pure, and full of brackets in quotes.
      if (file.startsWith("template/")) continue;
      sources.set(file, codeOf(await readFile(join(root, file), "utf8")));
    }
  });

  test("takes no second connection while a transaction holds one", () => {
    const transactions = [...sources.values()].flatMap((code) => [...code.matchAll(transaction)]);
    // Fewer would mean that the check no longer knows a transaction when it sees one.
    expect(transactions.length).toBeGreaterThan(10);
    expect(nestedAcquires(sources)).toEqual([]);
  });

  test("makes EntityManagers and connections only where it is known to", () => {
    const rest = (code: string) => code.replaceAll(/\b(inTransaction|emOf)\(|\.transactional\(/g, "");
    const found = [...sources].filter(([, code]) => openers.test(rest(code))).map(([file]) => file);
    expect(found.sort()).toEqual(makers);
  });

  // One file calls the other, which calls a third, as the real ones do.
  test.each([
    ["begins another transaction", "await inTransaction(tx, other);", "inTransaction("],
    ["begins another on its own EntityManager", "await tx.transactional(async () => {});", ".transactional("],
    ["works with the EntityManager outside", "await em.findOne(Flow, { id });", "em"],
    ["makes another EntityManager", "await emOf(ctx).findOne(Flow, { id });", "emOf("],
    ["asks the ORM itself", "await orm.em.findOne(Flow, { id });", "orm.em"],
    ["connects past the pool", "const client = new Client(url); // fine?", "new Client("],
    ["calls a function that begins one", "await load(id);", "b.ts#load"],
    ["calls a method that begins one", "await writePath.apply(id);", "class#writePath.apply"],
  ])("of a transaction that %s is found", (_name, body, found) => {
    const bad = codeOf(
      `import { load } from "./b.ts";\nfunction a() {\n  return inTransaction(em, async (tx) => {\n    ${body}\n  });\n}\n`,
    );
    const b = codeOf(
      'import { deep } from "./c.ts";\nexport async function load(id: string) {\n  await deep(id);\n}\n',
    );
    const c =
      "export function deep(id: string): X {\n  return em.transactional(async (tx) => tx.find(id));\n}\n";
    const d =
      "export class WritePath {\n  async apply(id: X) {\n    return inTransaction(this.em, run);\n  }\n}\n";
    expect(
      nestedAcquires(
        new Map([
          ["a.ts", bad],
          ["b.ts", b],
          ["c.ts", c],
          ["d.ts", d],
        ]),
      ),
    ).toEqual([`a.ts: ${found}`]);
  });
});

/** Prepares what a method needs and returns its calls: the same one or one for each index. */
type Prepare = (service: TestService) => Promise<(index: number) => Promise<unknown>>;

describe("a pool", () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await openDatabase({ pool: 1, acquireTimeoutMs: 200 });
  });
  afterAll(() => database?.close());

  const definition = (text = "") =>
    `name: flow-${randomUUID()}\ndescription: "${text}"\ntasks:\n  - name: task\n`;
  const givenRecord = async (service: TestService, status: Status = Status.RUNNING) => {
    const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
    const report = { flowExecutionId, taskName: "task", status };
    return (await service.client(TaskExecutionService).createTaskExecution(report)).taskExecution!;
  };
  const givenFlow = async (service: TestService) =>
    (await service.client(FlowService).createFlow({ definition: definition() })).flow!;
  const givenFlowExecution = async (service: TestService) => {
    const { id: flowId } = await givenFlow(service);
    const request = { flowId, requestId: randomUUID(), dispatch: Dispatch.EXTERNAL };
    return (await service.client(FlowExecutionService).createFlowExecution(request)).flowExecution!;
  };
  const givenManaged = async (service: TestService) => {
    const executor = randomUUID();
    const { flow } = await service
      .client(FlowService)
      .createFlow({ definition: `name: ${executor}\ntasks: [{name: task, executor: ${executor}}]` });
    const request = { flowId: flow!.id, requestId: randomUUID(), dispatch: Dispatch.MANAGED };
    const { flowExecution } = await service.client(FlowExecutionService).createFlowExecution(request);
    return { flowExecutionId: flowExecution!.id, executors: [executor] };
  };
  const newKey = (requestId: string) => ({ name: "key", kind: Kind.WORKER, role: Role.WORKER, requestId });
  const givenKey = async (service: TestService) =>
    (await service.client(ApiKeyService).createApiKey(newKey(randomUUID()))).apiKey!;

  const calls: Record<string, Prepare> = {
    async CreateTaskExecution(service) {
      const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
      const report = { flowExecutionId, taskName: "task", status: Status.RUNNING };
      return (taskExecutionIdx) =>
        service.client(TaskExecutionService).createTaskExecution({ ...report, taskExecutionIdx });
    },
    async BatchCreateTaskExecutions(service) {
      const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
      const report = { flowExecutionId, taskName: "task", status: Status.RUNNING };
      return (index) =>
        service.client(TaskExecutionService).batchCreateTaskExecutions({
          requests: [0, 1].map((more) => ({ ...report, taskExecutionIdx: 2 * index + more })),
        });
    },
    async IngestTaskExecutions(service) {
      const { flowExecutionId } = await givenRun(database.orm, defaultOrganizationId, ["task"]);
      const report = { flowExecutionId, taskName: "task", status: Status.RUNNING };
      return (index) =>
        ingestAll(
          service.client(TaskExecutionService),
          [0, 1].map((more) => ({ ...report, taskExecutionIdx: 2 * index + more })),
        );
    },
    async UpdateTaskExecution(service) {
      const { id, etag } = await givenRecord(service, Status.COMPLETED);
      const output = { kind: { case: "boolValue", value: true } } as const;
      const change = { id, etag, updateMask: { paths: ["output"] }, output };
      return () => service.client(TaskExecutionService).updateTaskExecution(change);
    },
    async CancelTaskExecution(service) {
      const { id } = await givenRecord(service);
      return () => service.client(TaskExecutionService).cancelTaskExecution({ id });
    },
    async DeleteTaskExecution(service) {
      const { id } = await givenRecord(service);
      return () => service.client(TaskExecutionService).deleteTaskExecution({ id });
    },
    async UndeleteTaskExecution(service) {
      const { id } = await givenRecord(service);
      await service.client(TaskExecutionService).deleteTaskExecution({ id });
      return () => service.client(TaskExecutionService).undeleteTaskExecution({ id });
    },
    async UpdateTaskTags(service) {
      const { id } = await givenRecord(service);
      return (index) =>
        service
          .client(TaskExecutionService)
          .updateTaskTags({ operations: [{ action: Action.ADD, id, tag: `tag ${index}` }] });
    },
    async AdoptLateResult(service) {
      const { id } = await givenRecord(service, Status.FAILED);
      return async () => {
        const outcome = await outcomeOf(service.client(TaskExecutionService).adoptLateResult({ id }));
        expect(outcome).toBe("NOTHING_TO_ADOPT");
      };
    },
    async ReExecuteFlowExecution(service) {
      const { flowExecutionId: id } = await givenManaged(service);
      await service.client(FlowExecutionService).cancelFlowExecution({ id });
      const requestId = randomUUID();
      return () =>
        service.client(FlowExecutionService).reExecuteFlowExecution({ id, scope: Scope.ALL, requestId });
    },
    async ClaimTaskExecutions(service) {
      const { executors } = await givenManaged(service);
      return (index) =>
        service
          .client(WorkerService)
          .claimTaskExecutions({ executors, maxTaskExecutions: 1, workerId: "w", requestId: String(index) });
    },
    HeartbeatTaskExecutions: async (service) => () =>
      service
        .client(WorkerService)
        .heartbeatTaskExecutions({ heartbeats: [{ id: randomUUID(), token: 1n }] }),
    async ReportTaskExecutions(service) {
      const { executors } = await givenManaged(service);
      const claim = { executors, maxTaskExecutions: 1, workerId: "w", requestId: randomUUID() };
      const { claimed } = await service.client(WorkerService).claimTaskExecutions(claim);
      const { token, taskExecution } = claimed[0]!;
      const reports = [{ id: taskExecution!.id, token, result: { case: "completed", value: {} } as const }];
      return () => service.client(WorkerService).reportTaskExecutions({ reports });
    },
    CreateFlow: async (service) => () => service.client(FlowService).createFlow({ definition: definition() }),
    async UpdateFlow(service) {
      const { id, etag, definition } = await givenFlow(service);
      const request = { id, etag, definition: definition.replace('""', '"new"') };
      return () => service.client(FlowService).updateFlow(request);
    },
    async DeleteFlow(service) {
      const { id } = await givenFlow(service);
      return () => service.client(FlowService).deleteFlow({ id });
    },
    async CreateFlowExecution(service) {
      const { id: flowId } = await givenFlow(service);
      const run = () => ({ flowId, requestId: randomUUID(), dispatch: Dispatch.EXTERNAL });
      return () => service.client(FlowExecutionService).createFlowExecution(run());
    },
    async CancelFlowExecution(service) {
      const { id } = await givenFlowExecution(service);
      return () => service.client(FlowExecutionService).cancelFlowExecution({ id });
    },
    async DeleteFlowExecution(service) {
      const { id } = await givenFlowExecution(service);
      return () => service.client(FlowExecutionService).deleteFlowExecution({ id });
    },
    async UndeleteFlowExecution(service) {
      const { id } = await givenFlowExecution(service);
      await service.client(FlowExecutionService).deleteFlowExecution({ id });
      return () => service.client(FlowExecutionService).undeleteFlowExecution({ id });
    },
    CreateOrganization: async (service) => () => {
      const request = { name: randomUUID(), requestId: randomUUID() };
      return service.client(OrganizationService).createOrganization(request);
    },
    CreateApiKey: async (service) => () => service.client(ApiKeyService).createApiKey(newKey(randomUUID())),
    async RotateApiKey(service) {
      const { id } = await givenKey(service);
      return () => service.client(ApiKeyService).rotateApiKey({ id, requestId: randomUUID() });
    },
    async RevokeApiKey(service) {
      const { id } = await givenKey(service);
      return () => service.client(ApiKeyService).revokeApiKey({ id });
    },
  };

  test("is tried with every method that changes something", () => {
    const changing = services.flatMap(({ methods }) =>
      methods.filter(({ idempotency }) => idempotency !== 1),
    );
    expect(Object.keys(calls).sort()).toEqual(changing.map(({ name }) => name).sort());
  });

  // Each call that held one connection and waited for another would find all of them held by such calls.
  test.each([1, 2])(
    "of %i serves forty calls of each method at once",
    async (size) => {
      // Forty take their turns in time on the busiest machine; whoever holds what it waits for never gets one.
      const env = { DATABASE_POOL: String(size), DATABASE_ACQUIRE_TIMEOUT_MS: "20000" };
      await using service = await startTestService(database.serviceUrl, env);
      for (const [name, prepare] of Object.entries(calls)) {
        const call = await prepare(service);
        const outcomes = await Promise.all(Array.from({ length: 40 }, (_, index) => outcomeOf(call(index))));
        // One that waits too long for a connection gives up with POOL_EXHAUSTED.
        expect(new Set(outcomes), name).toEqual(new Set(["ok"]));
      }
    },
    120_000,
  );

  test("that is too small for a nested transaction is told by a timeout", async () => {
    const em = forOrganization(database.orm, defaultOrganizationId);
    const nested = inTransaction(em, () => inTransaction(em, (tx) => tx.execute("select 1")));
    await expect(nested).rejects.toThrow(/timeout exceeded when trying to connect/);
  });
});
