/**
 * Sends messages that claim to be huge or become so when decompressed, and measures what they cost in memory.
 *
 * Usage: node test/hazards/bombs.ts
 */
import { brotliCompressSync, gzipSync } from "node:zlib";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { pathOf } from "../server/server.ts";
import { errorOf, reasonOf, send, withSession } from "../server/wire.ts";
import { check } from "./report.ts";
import { startServerProcess } from "./server-process.ts";

const zeros = Buffer.alloc(64 * 2 ** 20);
const gzip = gzipSync(zeros);
const brotli = brotliCompressSync(zeros);
const allowedMegabytes = 20;
const repeats = 20;

const bombs: [name: string, type: string, body: Uint8Array, headers: Record<string, string>][] = [
  ["gzip of 64 MiB, Connect", "application/proto", gzip, { "content-encoding": "gzip" }],
  ["gzip of 64 MiB, gRPC", "application/grpc", encodeEnvelope(1, gzip), { "grpc-encoding": "gzip" }],
  ["gzip of 64 MiB, gRPC-Web", "application/grpc-web", encodeEnvelope(1, gzip), { "grpc-encoding": "gzip" }],
  ["gzip of gzip, Connect", "application/proto", gzipSync(gzip), { "content-encoding": "gzip" }],
  ["brotli of 64 MiB, Connect", "application/proto", brotli, { "content-encoding": "br" }],
  ["envelope of 4 GiB, gRPC", "application/grpc", Buffer.from([0, 255, 255, 255, 255, 1]), {}],
  ["compressed, no encoding, gRPC", "application/grpc", encodeEnvelope(1, gzip), {}],
];

const server = await startServerProcess();
// The first calls load code and grow the heap; they are no measure of the bombs.
await withSession(server.origin, async (session) => {
  for (let index = 0; index < 200; index++) {
    const headers = { ":path": pathOf("CreateTaskExecution"), "content-type": "application/proto" };
    await send(session, { ...headers, "content-encoding": "gzip" }, gzipSync(Buffer.alloc(2 ** 20)));
  }
});
for (const [name, type, body, headers] of bombs) {
  const before = await server.memory();
  let peak = before;
  const reasons = new Set<string | undefined>();
  for (let index = 0; index < repeats; index++) {
    await withSession(server.origin, async (session) => {
      const answer = await send(
        session,
        { ":path": pathOf("CreateTaskExecution"), "content-type": type, ...headers },
        body,
      );
      reasons.add(reasonOf(errorOf(answer)));
    });
    peak = Math.max(peak, await server.memory());
  }
  const grown = peak - before;
  check(
    grown < allowedMegabytes &&
      [...reasons].every((reason) => /MESSAGE_TOO_LARGE|REQUEST_MALFORMED/.test(reason ?? "")),
    `${name}, ${repeats} times: ${[...reasons]}, +${grown} MB of at most ${allowedMegabytes}, from ${before} MB`,
  );
}
check(server.isAlive(), `the process ${server.pid} is still the same`);
await server.stop();
