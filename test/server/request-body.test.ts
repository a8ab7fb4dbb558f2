import { connect } from "node:http2";
import { gzipSync } from "node:zlib";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { describe, expect, test } from "vitest";
import { connectRaw } from "./raw-http1.ts";
import { connectRawHttp2, frameTypes } from "./raw-http2.ts";
import { pathOf, startServer } from "./server.ts";
import { errorOf, reasonOf, send, withSession } from "./wire.ts";

const path = pathOf("CreateTaskExecution");
const mebibyte = 2 ** 20;

describe("a body that does not arrive", () => {
  const limits = { bodyTimeoutMs: 300, lingerMs: 100 };

  test.each([
    ["at all, of gRPC", "application/grpc", undefined],
    ["after half an envelope, of gRPC", "application/grpc", Buffer.from([0, 0, 0, 0, 9, 1, 2])],
    ["to its end, of gRPC-Web", "application/grpc-web", Buffer.from([0, 0, 0])],
    ["to its end, of Connect", "application/proto", Buffer.from([10])],
  ])("%s is answered after the limit, and the stream is closed", async (_, type, body) => {
    await using server = await startServer({ limits });
    const start = performance.now();
    const response = await withSession(server.origin, (session) =>
      send(session, { ":path": path, "content-type": type }, body, { endStream: false }),
    );
    expect(performance.now() - start).toBeGreaterThan(290);
    expect(performance.now() - start).toBeLessThan(1500);
    expect(errorOf(response)).toMatchObject({
      code: "DeadlineExceeded",
      message: "the request was not complete after 300 ms",
    });
    expect(response.resetCode).toBe(0);
  });

  test("because it trickles is answered after the limit, over HTTP/1.1", async () => {
    await using server = await startServer({ limits });
    const { socket, received, closed } = await connectRaw(server.port);
    const trickle = setInterval(() => socket.write(" "), 20);
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n`,
    );
    await expect.poll(received).toMatch(/^HTTP\/1\.1 504 .*the request was not complete after 300 ms/s);
    await closed();
    clearInterval(trickle);
  });

  test("is waited for no longer than the deadline of the call", async () => {
    await using server = await startServer({ limits });
    const headers = { ":path": path, "content-type": "application/proto", "connect-timeout-ms": "50" };
    const response = await withSession(server.origin, (session) =>
      send(session, headers, undefined, { endStream: false }),
    );
    expect(errorOf(response)?.message).toBe("the deadline passed before the request was done");
  });
});

describe("a body that is too large", () => {
  test("leaves the HTTP/2 connection usable, and the answer arrives whole every time", async () => {
    await using server = await startServer();
    await withSession(server.origin, async (session) => {
      for (const [type, length] of [
        ["application/grpc", 6 * mebibyte],
        ["application/grpc-web", 6 * mebibyte],
        ["application/json", 40 * mebibyte],
      ] as const) {
        const answers = await Promise.all(
          Array.from({ length: 5 }, () =>
            send(session, { ":path": path, "content-type": type }, Buffer.alloc(length), {
              endStream: false,
            }),
          ),
        );
        expect(answers.map((answer) => reasonOf(errorOf(answer)))).toEqual(
          Array(5).fill("MESSAGE_TOO_LARGE"),
        );
      }
      const after = await send(session, { ":path": "/healthz", ":method": "GET" });
      expect(after.status).toBe(200);
    });
  });

  test.each(["with its length announced", "in chunks"])("is answered over HTTP/1.1 %s", async (how) => {
    await using server = await startServer();
    const body = new Uint8Array(6 * mebibyte);
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(body);
        controller.close();
      },
    });
    const response = await fetch(server.origin + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      ...(how === "in chunks" ? { body: stream, duplex: "half" } : { body }),
    });
    expect(response.status).toBe(429);
    expect(await response.json()).toMatchObject({ code: "resource_exhausted" });
    await expect(fetch(`${server.origin}/healthz`)).resolves.toMatchObject({ status: 200 });
  });

  test("never takes much memory, compressed or announced", async () => {
    await using server = await startServer();
    const zeros = gzipSync(Buffer.alloc(64 * mebibyte));
    const bombs: [string, Uint8Array, Record<string, string>][] = [
      ["application/proto", zeros, { "content-encoding": "gzip" }],
      ["application/grpc", encodeEnvelope(1, zeros), { "grpc-encoding": "gzip" }],
      ["application/grpc-web", encodeEnvelope(1, zeros), { "grpc-encoding": "gzip" }],
      ["application/proto", gzipSync(zeros), { "content-encoding": "gzip" }],
      ["application/proto", zeros, { "content-encoding": "br" }],
      ["application/grpc", Buffer.from([0, 255, 255, 255, 255, 1]), {}],
      ["application/grpc", Buffer.from([1, 255, 255, 255, 255, 1]), { "grpc-encoding": "gzip" }],
    ];
    await withSession(server.origin, async (session) => {
      for (const [type, body, headers] of bombs) {
        const answer = await send(session, { ":path": path, "content-type": type, ...headers }, body);
        expect(["MESSAGE_TOO_LARGE", "REQUEST_MALFORMED"]).toContain(reasonOf(errorOf(answer)));
      }
    });
  });
});

test("a megabyte in frames of one byte does not keep the server busy", async () => {
  await using server = await startServer({ tasks: { createTaskExecution: () => ({}) } });
  const length = 200_000;
  const raw = await connectRawHttp2(server.port);
  await raw.post(1, path, "application/json");
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (let sent = 0; sent < length; sent += 1000) {
    // Many frames in one write, as an attacker would.
    await Promise.all(Array.from({ length: 1000 }, () => raw.write(frameTypes.data, 0, 1, Buffer.from(" "))));
  }
  await raw.write(frameTypes.data, 1, 1, Buffer.from("{}"));
  await expect.poll(() => server.calls().length, { timeout: 10_000 }).toBe(1);
  expect(performance.now() - start).toBeLessThan(8000);
  expect(process.cpuUsage(cpu).user / 1000).toBeLessThan(8000);
  raw.destroy();
});

test("a client that stops reading is cut off after the limit", async () => {
  await using server = await startServer({
    limits: { writeStallMs: 200 },
    tasks: { getTaskExecution: () => ({ taskExecution: { taskName: "x".repeat(4 * mebibyte) } }) },
  });
  const session = connect(server.origin, { settings: { initialWindowSize: 1000 } });
  session.on("error", () => undefined);
  const stream = session.request({
    ":method": "POST",
    ":path": pathOf("GetTaskExecution"),
    "content-type": "application/json",
  });
  stream.end('{"id":"0195f7a0-0000-7000-8000-000000000000"}');
  stream.on("error", () => undefined);
  stream.pause();
  await new Promise((resolve) => stream.on("close", resolve));
  expect(stream.rstCode).not.toBe(0);
  session.destroy();
});
