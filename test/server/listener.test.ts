import { once } from "node:events";
import { connect, constants } from "node:http2";
import https from "node:https";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { makeCertificate } from "./certificate.ts";
import { connectRaw, exchange } from "./raw-http1.ts";
import { connectRawHttp2, encodeHeaders, frameTypes, preface } from "./raw-http2.ts";
import { startServer } from "./server.ts";
import { send, withSession } from "./wire.ts";

const check = "/grpc.health.v1.Health/Check";
const watch = "/grpc.health.v1.Health/Watch";

describe("one port", () => {
  test("speaks HTTP/2 and HTTP/1.1", async () => {
    await using server = await startServer();
    for (const httpVersion of ["1.1", "2"] as const) {
      const client = createClient(Health, createConnectTransport({ baseUrl: server.origin, httpVersion }));
      expect((await client.check({})).status).toBe(ServingStatus.SERVING);
    }
  });

  test("speaks gRPC to the client of Node's own implementation", async () => {
    await using server = await startServer();
    const client = new grpc.Client(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure());
    const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
      const identity = (bytes: Buffer) => bytes;
      client.makeUnaryRequest(check, identity, identity, Buffer.alloc(0), (error, value) =>
        error ? reject(error) : resolve(value),
      );
    });
    expect(answer).toEqual(Buffer.from([8, ServingStatus.SERVING]));
    client.close();
  });

  test("recognizes HTTP/2 when its first bytes come one by one", async () => {
    await using server = await startServer();
    const { socket, received } = await connectRaw(server.port);
    socket.setNoDelay(true);
    for (const byte of preface) {
      socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    // An empty SETTINGS frame; the server answers with its own and an acknowledgement.
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    await expect.poll(() => received().charCodeAt(3)).toBe(4);
    socket.destroy();
  });

  test("recognizes HTTP/1.1 when its first bytes come one by one, and begin like HTTP/2", async () => {
    await using server = await startServer();
    const { socket, received, closed } = await connectRaw(server.port);
    socket.setNoDelay(true);
    for (const char of "PRI * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") {
      socket.write(char);
      await new Promise(setImmediate);
    }
    await closed();
    expect(received()).toMatch(/^HTTP\/1\.1 4/);
  });

  test("keeps an HTTP/1.1 connection for the next request", async () => {
    await using server = await startServer();
    const request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    const received = await exchange(
      server.port,
      request + request.replace("Host", "Connection: close\r\nHost"),
    );
    expect(received.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
  });

  test("closes a connection that says nothing, or begins and stops", async () => {
    const limits = { sniffTimeoutMs: 150, headersTimeoutMs: 200, requestTimeoutMs: 300 };
    await using server = await startServer({ limits });
    for (const start of ["", "PRI * HT", "GET /healthz HTTP/1.1\r\nHost: a\r\nX: "]) {
      const { socket, closed } = await connectRaw(server.port);
      socket.write(start);
      expect(await closed()).toBeLessThan(1000);
    }
    await expect(fetch(`${server.origin}/healthz`)).resolves.toMatchObject({ status: 200 });
  });

  test("closes connections over the limit, and takes new ones when others have gone", async () => {
    await using server = await startServer({ limits: { maxConnections: 2 } });
    const [first] = [await connectRawHttp2(server.port), await connectRawHttp2(server.port)];
    const third = await connectRaw(server.port);
    expect(await third.closed()).toBeLessThan(1000);
    first.destroy();
    await expect
      .poll(() =>
        fetch(`${server.origin}/healthz`).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
  });
});

describe("an HTTP/2 session", () => {
  test("has at most 100 streams; the 101st is refused and the others go on", async () => {
    await using server = await startServer();
    const session = connect(server.origin);
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    expect(session.remoteSettings.maxConcurrentStreams).toBe(100);
    session.destroy();

    const raw = await connectRawHttp2(server.port);
    const { resetStream, goAway, headers } = frameTypes;
    for (let stream = 1; stream <= 201; stream += 2) {
      await raw.post(stream, watch, "application/grpc");
    }
    const refused = () => raw.frames().filter(({ type }) => type === resetStream || type === goAway);
    await expect.poll(refused).toMatchObject([{ type: resetStream, streamId: 201 }]);
    expect(refused()[0]?.payload.readUInt32BE()).toBe(constants.NGHTTP2_REFUSED_STREAM);
    // An empty message and the end of the body: the first stream is answered.
    await raw.write(frameTypes.data, 1, 1, Buffer.alloc(5));
    await expect
      .poll(() => raw.frames().some(({ type, streamId }) => type === headers && streamId === 1))
      .toBe(true);
    raw.destroy();
  });

  test("is closed when its client opens thousands of streams whatever it is told", async () => {
    await using server = await startServer();
    const raw = await connectRawHttp2(server.port);
    for (let stream = 1; stream < 4000; stream += 2) {
      void raw.post(stream, watch, "application/grpc");
    }
    expect(await raw.closed()).toBeLessThan(2000);
  });

  test("is closed when its client resets streams by the hundred", async () => {
    await using server = await startServer();
    const raw = await connectRawHttp2(server.port);
    for (let stream = 1; stream < 2000; stream += 2) {
      void raw.post(stream, check, "application/grpc");
      void raw.write(frameTypes.resetStream, 0, stream, Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL]));
    }
    expect(await raw.closed()).toBeLessThan(2000);
    expect(raw.frames().some(({ type }) => type === frameTypes.goAway)).toBe(true);
  });

  test.each<[string, [string, string][]]>([
    ["a header of 20 KB", [["x", "a".repeat(20_000)]]],
    ["1000 headers", Array.from({ length: 1000 }, (_, index) => [`x-${index}`, "a"] as [string, string])],
  ])("refuses %s, and others do not notice", async (_, headers) => {
    await using server = await startServer();
    const get = { ":path": "/healthz", ":method": "GET" };
    await withSession(server.origin, async (session) => {
      // A limit that the client has not acknowledged yet does not bind it.
      await once(session, "remoteSettings");
      await new Promise((resolve) => session.ping(resolve));
      expect((await send(session, get)).status).toBe(200);
      await expect(send(session, { ...get, ...Object.fromEntries(headers) })).rejects.toThrow(
        "Stream closed",
      );
    });
    await withSession(server.origin, async (session) => {
      expect((await send(session, { ":path": "/healthz", ":method": "GET" })).status).toBe(200);
    });
  });

  test("survives a HPACK bomb", async () => {
    await using server = await startServer();
    const raw = await connectRawHttp2(server.port);
    const basics = encodeHeaders([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", check],
    ]);
    // One value of 4000 bytes goes into the table (0x40), and is then named 10,000 times in a byte each (0xbe).
    const value = encodeHeaders([["x", "a".repeat(4000)]]);
    value[0] = 0x40;
    const bomb = Buffer.concat([basics, value, Buffer.alloc(10_000, 0xbe)]);
    const before = process.memoryUsage.rss();
    await raw.write(frameTypes.headers, 0x5, 1, bomb);
    await expect
      .poll(() => raw.frames().filter(({ type }) => type === 3 || type === 7).length)
      .toBeGreaterThan(0);
    expect(process.memoryUsage.rss() - before).toBeLessThan(20 * 2 ** 20);
    raw.destroy();
  });

  test("is closed when it was idle for the limit, but not while a stream is open", async () => {
    await using server = await startServer({ limits: { sessionIdleMs: 150 } });
    const idle = await connectRawHttp2(server.port);
    const client = createClient(Health, createGrpcTransport({ baseUrl: server.origin }));
    const stream = client.watch({})[Symbol.asyncIterator]();
    expect((await stream.next()).value.status).toBe(ServingStatus.SERVING);
    expect(await idle.closed()).toBeLessThan(1000);
    expect(idle.frames().some(({ type }) => type === frameTypes.goAway)).toBe(true);
    const next = stream.next();
    server.readiness.drain();
    expect((await next).value.status).toBe(ServingStatus.NOT_SERVING);
  });

  test("is destroyed when its client answers no PING", async () => {
    await using server = await startServer({ limits: { pingIntervalMs: 100, pingTimeoutMs: 100 } });
    const dead = await connectRawHttp2(server.port);
    const alive = connect(server.origin);
    expect(await dead.closed()).toBeLessThan(1000);
    expect(dead.frames().some(({ type }) => type === frameTypes.ping)).toBe(true);
    expect(alive.closed).toBe(false);
    alive.destroy();
  });
});

describe("with TLS", () => {
  const tls = makeCertificate();

  test("one port speaks HTTP/2 and HTTP/1.1 as agreed by ALPN", async () => {
    await using server = await startServer({ tls });
    const nodeOptions = { ca: tls.cert };
    const transports = [
      createGrpcTransport({ baseUrl: server.origin, nodeOptions }),
      createConnectTransport({ baseUrl: server.origin, httpVersion: "1.1", nodeOptions }),
    ];
    for (const transport of transports) {
      expect((await createClient(Health, transport).check({})).status).toBe(ServingStatus.SERVING);
    }
  });

  test("a client without ALPN speaks HTTP/1.1", async () => {
    await using server = await startServer({ tls });
    const status = await new Promise((resolve, reject) => {
      const options = { ca: tls.cert, ALPNProtocols: [], agent: false } as const;
      https
        .get(`${server.origin}/healthz`, options, ({ statusCode }) => resolve(statusCode))
        .on("error", reject);
    });
    expect(status).toBe(200);
  });

  test("a client that does not finish the handshake, or speaks plaintext, is closed", async () => {
    await using server = await startServer({ tls, limits: { sniffTimeoutMs: 150 } });
    for (const bytes of ["", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", preface]) {
      const { socket, closed } = await connectRaw(server.port);
      socket.write(bytes);
      expect(await closed()).toBeLessThan(1000);
    }
  });
});
