import { once } from "node:events";
import { connect, constants } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import { TaskExecutionSchema } from "../../gen/taskledger/v1/task_execution_pb.ts";
import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
import type { Limits } from "../../src/server/limits.ts";
import { connectRaw, exchange } from "./raw-http1.ts";
import { connectRawHttp2, frameTypes, type RawHttp2 } from "./raw-http2.ts";
import { pathOf, startServer } from "./server.ts";
import { reasonOf, seen, send, withSession } from "./wire.ts";

// Each of these limits does something, and what it does follows its value: the same client is let be with the
// default. The others are in the tests of what they limit.

const check = "/grpc.health.v1.Health/Check";

describe("the size of messages", () => {
  const id = "0195f7a0-0000-7000-8000-000000000000";
  const get = async (limits: Partial<Limits>, request: { id: string }, answer: string) => {
    await using server = await startServer({
      limits,
      tasks: {
        getTaskExecution: () => ({ taskExecution: create(TaskExecutionSchema, { taskName: answer }) }),
      },
    });
    const transport = createConnectTransport({ baseUrl: server.origin, httpVersion: "2" });
    const client = createClient(TaskExecutionService, transport);
    const lookup = { case: "id", value: request.id } as const;
    return await client.getTaskExecution({ lookup }).then(
      () => "ok",
      (error) => reasonOf(seen(error)) ?? String(error),
    );
  };

  test("of a request is readMaxBytes", async () => {
    const large = { id: "x".repeat(2000) };
    expect(await get({ readMaxBytes: 1000 }, large, "")).toBe("MESSAGE_TOO_LARGE");
    expect(await get({}, large, "")).toBe("VALIDATION_FAILED");
  });

  test("of a response is writeMaxBytes", async () => {
    const large = "x".repeat(2000);
    expect(await get({ writeMaxBytes: 1000 }, { id }, large)).toBe("MESSAGE_TOO_LARGE");
    expect(await get({}, { id }, large)).toBe("ok");
  });
});

describe("headers", () => {
  const statusOf = async (limits: Partial<Limits>, headers: Record<string, string>) => {
    await using server = await startServer({ limits });
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const http1 = await exchange(
      server.port,
      `GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines.join("")}\r\n`,
    );
    const http2 = await withSession(server.origin, async (session) => {
      // A limit that the client has not acknowledged yet does not bind it.
      await once(session, "remoteSettings");
      await new Promise((resolve) => session.ping(resolve));
      return send(session, { ":path": "/healthz", ":method": "GET", ...headers }).then(
        ({ status }) => status,
        () => "refused",
      );
    });
    return [Number(http1.slice(9, 12)), http2];
  };

  test("have at most maxHeaderBytes", async () => {
    const headers = { x: "a".repeat(3000) };
    expect(await statusOf({ maxHeaderBytes: 2000 }, headers)).toEqual([431, "refused"]);
    expect(await statusOf({}, headers)).toEqual([200, 200]);
  });

  test("are at most maxHeaderPairs", async () => {
    const headers = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`x-${index}`, "a"]));
    expect((await statusOf({ maxHeaderPairs: 20 }, headers))[1]).toBe("refused");
    expect((await statusOf({}, headers))[1]).toBe(200);
  });
});

test("an idle HTTP/1.1 connection is kept for keepAliveTimeoutMs", async () => {
  await using brief = await startServer({ limits: { keepAliveTimeoutMs: 100 } });
  await using lasting = await startServer();
  const kept = await connectRaw(lasting.port);
  const closed = await connectRaw(brief.port);
  for (const { socket } of [kept, closed]) {
    socket.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  // Node adds a second of its own, so that a client that reuses the connection at the last moment still may.
  expect(await closed.closed()).toBeLessThan(10_000);
  expect(closed.received()).toMatch(/^HTTP\/1\.1 200/);
  expect(kept.socket.closed).toBe(false);
  kept.socket.destroy();
});

describe("an HTTP/2 session", () => {
  test("takes no further stream when its answers that nobody reads fill maxSessionMemoryMb", async () => {
    const answer = { taskExecution: create(TaskExecutionSchema, { taskName: "x".repeat(3 * 2 ** 20) }) };
    const outcomeWith = async (limits: Partial<Limits>) => {
      await using server = await startServer({
        limits,
        tasks: { getTaskExecution: () => answer },
      });
      const session = connect(server.origin);
      session.on("error", () => undefined);
      const headers = { ":method": "POST", "content-type": "application/json" };
      const unread = session.request({ ...headers, ":path": pathOf("GetTaskExecution") });
      unread.on("error", () => undefined);
      unread.end(JSON.stringify({ id: "0195f7a0-0000-7000-8000-000000000000" }));
      await once(unread, "response");
      const outcome = await send(session, { ...headers, ":path": "/healthz", ":method": "GET" }).then(
        ({ status }) => status,
        (error) => error.code,
      );
      session.destroy();
      return outcome;
    };
    expect(await outcomeWith({ maxSessionMemoryMb: 1 })).toBe("ERR_HTTP2_STREAM_ERROR");
    expect(await outcomeWith({})).toBe(200);
  });

  /** How the server answers a PING: with its own, unless it has closed the session. */
  const outcomeOfPing = async (raw: RawHttp2) => {
    void raw.write(frameTypes.ping, 0, 0, Buffer.alloc(8));
    const seen = () =>
      raw
        .frames()
        .find(({ type, flags }) => type === frameTypes.goAway || (type === frameTypes.ping && flags === 1));
    await expect.poll(seen).toBeDefined();
    raw.destroy();
    return raw.frames().some(({ type }) => type === frameTypes.goAway) ? "closed" : "open";
  };
  /** What becomes of a session whose client resets streams, so many, one each so many milliseconds. */
  const afterResets = async (limits: Partial<Limits>, resets: number, everyMs = 0) => {
    await using server = await startServer({ limits });
    const raw = await connectRawHttp2(server.port);
    const begin = performance.now();
    for (let index = 0; index < resets; index++) {
      await raw.post(1 + 2 * index, check, "application/grpc");
      await raw.write(
        frameTypes.resetStream,
        0,
        1 + 2 * index,
        Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL]),
      );
      await expect.poll(() => performance.now() - begin, { interval: 5 }).toBeGreaterThan(index * everyMs);
    }
    return await outcomeOfPing(raw);
  };

  test("may reset streamResetBurst streams at once", async () => {
    expect(await afterResets({ streamResetBurst: 10, streamResetRate: 1 }, 60)).toBe("closed");
    expect(await afterResets({}, 60)).toBe("open");
  });

  test("may reset streamResetRate streams a second in the long run", async () => {
    // At most forty a second for three seconds.
    expect(await afterResets({ streamResetBurst: 60, streamResetRate: 1 }, 120, 25)).toBe("closed");
    expect(await afterResets({ streamResetBurst: 60, streamResetRate: 1000 }, 120, 25)).toBe("open");
  });

  test("is closed after maxInvalidFrames streams over what it may open", async () => {
    const outcomeWith = async (limits: Partial<Limits>) => {
      await using server = await startServer({ limits: { maxConcurrentStreams: 1, ...limits } });
      const raw = await connectRawHttp2(server.port);
      for (let stream = 1; stream <= 41; stream += 2) {
        await raw.post(stream, "/grpc.health.v1.Health/Watch", "application/grpc").catch(() => undefined);
      }
      return await outcomeOfPing(raw);
    };
    expect(await outcomeWith({ maxInvalidFrames: 5 })).toBe("closed");
    expect(await outcomeWith({})).toBe("open");
  });
});
