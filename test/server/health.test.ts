import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import { LedgerError } from "../../src/errors.ts";
import { startServer, type TestServer } from "./server.ts";

const clientOf = ({ origin }: TestServer) => createClient(Health, createGrpcTransport({ baseUrl: origin }));

test("the server and each of its services are serving when it is ready, and not when it is not", async () => {
  let away = false;
  await using server = await startServer({
    probe: () => (away ? Promise.reject(new Error()) : Promise.resolve()),
  });
  const client = clientOf(server);
  for (const service of ["", TaskExecutionService.typeName, Health.typeName]) {
    expect((await client.check({ service })).status).toBe(ServingStatus.SERVING);
  }
  const { statuses } = await client.list({});
  expect(Object.keys(statuses)).toHaveLength(5);
  expect(statuses[""]?.status).toBe(ServingStatus.SERVING);
  expect((await fetch(`${server.origin}/readyz`)).status).toBe(200);

  away = true;
  await expect.poll(async () => (await client.check({})).status).toBe(ServingStatus.NOT_SERVING);
  expect((await fetch(`${server.origin}/readyz`)).status).toBe(503);
  expect((await fetch(`${server.origin}/healthz`)).status).toBe(200);
});

test("a service that the server does not have is not found, and unknown to a watch", async () => {
  await using server = await startServer();
  const client = clientOf(server);
  await expect(client.check({ service: "nope" })).rejects.toMatchObject({ code: Code.NotFound });
  for await (const { status } of client.watch({ service: "nope" })) {
    expect(status).toBe(ServingStatus.SERVICE_UNKNOWN);
    break;
  }
});

test("a watch tells each change once, and the server forgets it when its client is gone", async () => {
  let away = false;
  await using server = await startServer({
    probe: () => (away ? Promise.reject(new Error()) : Promise.resolve()),
  });
  const gone = new AbortController();
  const seen: ServingStatus[] = [];
  const watch = async () => {
    for await (const { status } of clientOf(server).watch({}, { signal: gone.signal })) {
      seen.push(status);
      away = !away;
      if (seen.length === 4) {
        gone.abort();
      }
    }
  };
  await expect(watch()).rejects.toMatchObject({ code: Code.Canceled });
  const { SERVING, NOT_SERVING } = ServingStatus;
  expect(seen).toEqual([SERVING, NOT_SERVING, SERVING, NOT_SERVING]);
  await expect.poll(() => server.calls().map(({ code }) => code)).toEqual(["canceled"]);
});

test("health needs no credential and no free place", async () => {
  await using server = await startServer({
    limits: { maxUnaryInFlight: 0, maxStreamsInFlight: 0 },
    authenticate: (next) => (req) => {
      if (req.service.typeName.startsWith("taskledger.")) {
        throw new LedgerError("CREDENTIAL_MISSING", "no credential");
      }
      return next(req);
    },
  });
  const transport = createConnectTransport({ baseUrl: server.origin, httpVersion: "1.1" });
  expect((await createClient(Health, transport).check({})).status).toBe(ServingStatus.SERVING);
  const tasks = createClient(TaskExecutionService, transport);
  await expect(tasks.listTaskExecutions({})).rejects.toMatchObject({ code: Code.ResourceExhausted });
});
