/**
 * Sends bodies that never end, and measures after how long the server ends them instead. It takes 25 seconds.
 *
 * Usage: node test/hazards/slow-body.ts
 */
import { defaultLimits } from "../../src/server/limits.ts";
import { connectRaw } from "../server/raw-http1.ts";
import { connectRawHttp2, frameTypes } from "../server/raw-http2.ts";
import { pathOf } from "../server/server.ts";
import { check } from "./report.ts";
import { startServerProcess } from "./server-process.ts";

const path = pathOf("CreateTaskExecution");
const server = await startServerProcess();

/** Opens a stream, writes a byte a second, and waits for the reset that follows the answer. */
async function overHttp2(name: string, type: string, first: Buffer, trickles: boolean): Promise<void> {
  const raw = await connectRawHttp2(server.port);
  const start = performance.now();
  await raw.post(1, path, type);
  await raw.write(frameTypes.data, 0, 1, first);
  const trickle = setInterval(() => trickles && raw.write(frameTypes.data, 0, 1, Buffer.from(" ")), 1000);
  while (!raw.frames().some(({ type }) => type === frameTypes.resetStream)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  clearInterval(trickle);
  raw.destroy();
  report(`HTTP/2, ${name}`, performance.now() - start, defaultLimits.bodyTimeoutMs);
}

async function overHttp1(name: string, trickles: boolean): Promise<void> {
  const { socket, closed } = await connectRaw(server.port);
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n`,
  );
  const trickle = setInterval(() => trickles && socket.write(" "), 1000);
  const after = await closed();
  clearInterval(trickle);
  report(`HTTP/1.1, ${name}`, after, defaultLimits.bodyTimeoutMs + defaultLimits.lingerMs);
}

function report(name: string, afterMs: number, limitMs: number): void {
  check(
    afterMs < limitMs + 1000,
    `${name}: ended after ${(afterMs / 1000).toFixed(1)} s of ${limitMs / 1000} s`,
  );
}

await Promise.all([
  overHttp2("no body, gRPC", "application/grpc", Buffer.alloc(0), false),
  overHttp2("half an envelope, gRPC", "application/grpc", Buffer.from([0, 0, 0, 0, 9, 1]), false),
  overHttp2("a byte a second, Connect", "application/json", Buffer.from("{"), true),
  overHttp2("a byte a second, gRPC-Web", "application/grpc-web", Buffer.from([0, 0, 1, 0, 0]), true),
  overHttp1("no body, Connect", false),
  overHttp1("a byte a second, Connect", true),
]);
check(server.isAlive(), `the process ${server.pid} is still the same`);
await server.stop();
