import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { startServer } from "./server.ts";
import { reasonOf, seen } from "./wire.ts";

test("a call over the limit is refused with when to come back, and one more is taken for each that ends", async () => {
  const release: (() => void)[] = [];
  await using server = await startServer({
    limits: { maxUnaryInFlight: 2 },
    tasks: {
      listTaskExecutions: () => new Promise((resolve) => release.push(() => resolve({}))),
      getTaskExecution: () => ({}),
    },
  });
  const client = createClient(TaskExecutionService, createGrpcTransport({ baseUrl: server.origin }));
  const lists = [client.listTaskExecutions({}), client.listTaskExecutions({})];
  await expect.poll(() => release.length).toBe(2);
  const get = () =>
    client.getTaskExecution({ lookup: { case: "id", value: "0195f7a0-0000-7000-8000-000000000000" } });

  const refused = seen(await get().then(() => new ConnectError("taken"), ConnectError.from));
  expect(reasonOf(refused)).toBe("TOO_MANY_REQUESTS");
  expect(refused).toMatchObject({
    code: Code[Code.ResourceExhausted],
    message: "2 requests are in flight; repeat the request",
  });
  expect(refused.details).toContainEqual({ retryDelay: "0.500s" });

  release[0]?.();
  await Promise.race(lists);
  await expect(get()).resolves.toBeDefined();
  release[1]?.();
  await Promise.all(lists);
});

test("a call counts until its handler is done, even if its deadline was over long before", async () => {
  const release = Promise.withResolvers<object>();
  await using server = await startServer({
    limits: { maxUnaryInFlight: 1 },
    tasks: { listTaskExecutions: () => release.promise },
  });
  const client = createClient(TaskExecutionService, createGrpcTransport({ baseUrl: server.origin }));
  const list = () => client.listTaskExecutions({}, { timeoutMs: 50 });
  await expect(list()).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  await expect(list()).rejects.toMatchObject({ code: Code.ResourceExhausted });
  release.resolve({});
  await expect.poll(() => list().then(() => "taken", String)).toBe("taken");
});
