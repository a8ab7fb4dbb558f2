import { readFile } from "node:fs/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { outcomeOf } from "../client.ts";
import { openDatabase, type TestDatabase } from "../database.ts";
import { signIn, startServiceProcess } from "../service.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openDatabase();
});
afterAll(() => database?.close());

test("a client that sends much as nobody can go on over its connection", async () => {
  await using service = await startServiceProcess(database.serviceUrl);
  // Connections of connect-node take no more than 10 MB that are not sent yet.
  const transport = createGrpcTransport({ baseUrl: service.origin, interceptors: [signIn("tlk_nobody")] });
  const tasks = createClient(TaskExecutionService, transport);
  const input = { kind: { case: "stringValue" as const, value: "x".repeat(1_000_000) } };
  const requests = Array.from({ length: 3 }, () => ({ input }));
  const large = Array.from({ length: 24 }, () => outcomeOf(tasks.batchCreateTaskExecutions({ requests })));
  // The client itself does not send them all.
  for (const outcome of await Promise.all(large)) expect(outcome).toMatch(/^(CREDENTIAL_INVALID|Internal)$/);
  const outcome = await outcomeOf(tasks.listTaskExecutions({}, { timeoutMs: 10_000 }));
  expect(outcome).toBe("CREDENTIAL_INVALID");
});

test("megabytes of tiny messages from nobody cost next to nothing", async () => {
  await using service = await startServiceProcess(database.serviceUrl);
  const cpuMs = async () => {
    const fields = (await readFile(`/proc/${service.pid}/stat`, "utf8")).split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  };
  const url = `${service.origin}/taskledger.v1.TaskExecutionService/BatchCreateTaskExecutions`;
  const body = `{"requests":[${"{},".repeat(1_000_000)}{}]}`;
  const post = () =>
    fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body }).then(
      ({ status }) => status,
      // Closed before all of it was sent.
      () => 401,
    );
  await post();
  const before = await cpuMs();
  expect(new Set(await Promise.all(Array.from({ length: 10 }, post)))).toEqual(new Set([401]));
  // Decoded, each of them would take a second.
  expect((await cpuMs()) - before).toBeLessThan(3000);
});
