import { connect, constants, type OutgoingHttpHeaders } from "node:http2";
import { connectRaw } from "./raw-http1.ts";

/** What became of the requests of a fuzz run: how many ended in which way. */
export type Tally = Record<string, number>;

/** Returns a generator of numbers in [0, 1) that gives the same ones for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const authorities = [
  "localhost",
  "127.0.0.1:8080",
  "[",
  "]",
  "[::1",
  "[::1]:1",
  "a:99999",
  "127.0.0.1:abc",
  "a%zz",
  "x@y:1:2",
  "1.2.3.4.5.6.999",
  "*",
  "",
  " ",
  "a,b",
  "xn--",
  "a/../b",
];
const methods = [
  "POST",
  "GET",
  "PUT",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "CONNECT",
  "DELETE",
  "PATCH",
  "PRI",
  "get",
];
const contentTypes = [
  "application/grpc",
  "application/grpc+json",
  "application/grpc-web+proto",
  "application/grpc-web-text",
  "application/json",
  "application/proto",
  "application/connect+json",
  "application/connect+proto",
  "application/json; charset=utf-8",
  "text/plain",
  "",
  "application/grpc+",
  "multipart/form-data; boundary=x",
];
const headerNames = [
  "grpc-timeout",
  "connect-timeout-ms",
  "grpc-encoding",
  "content-encoding",
  "connect-content-encoding",
  "grpc-accept-encoding",
  "accept-encoding",
  "connect-protocol-version",
  "x-request-id",
  "authorization",
  "x-api-key",
  "origin",
  "access-control-request-method",
  "expect",
  "te",
  "user-agent",
  "x-grpc-web",
  "cookie",
];
const values = [
  "",
  "0",
  "-1",
  "1S",
  "99999999H",
  "gzip",
  "br",
  "1",
  "100-continue",
  "trailers",
  "*",
  "é",
  "%00",
  '"',
  "\\",
];

/** Makes requests at random, many of them valid but for one thing. */
export function createFuzzer(random: () => number, paths: readonly string[]) {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const text = (length: number): string =>
    Array.from({ length }, () => String.fromCharCode(33 + Math.floor(random() * 94))).join("");
  const path = (): string => {
    const known = pick(paths);
    return pick([
      known,
      known,
      known,
      `${known}?${text(30)}`,
      `${known}?encoding=json&message=%7B%7D`,
      `${known}?encoding=proto&base64=1&message=${text(10)}`,
      `${known}/`,
      `/${known}`,
      `${known}%00`,
      "/",
      "*",
      "//",
      `//[${text(5)}`,
      `/${text(60)}`,
      "http://a:99999/",
      "/healthz",
      "/readyz?x",
      `/${"a".repeat(12_000)}`,
      "",
    ]);
  };
  const extra = (): [string, string][] =>
    Array.from({ length: Math.floor(random() * 5) }, () => [
      pick(headerNames),
      random() < 0.7 ? pick(values) : text(Math.floor(random() * 200)),
    ]);
  const body = (): Buffer =>
    pick([
      Buffer.alloc(0),
      Buffer.from("{}"),
      Buffer.from([0, 0, 0, 0, 0]),
      Buffer.from([0, 255, 255, 255, 255]),
      Buffer.from([1, 0, 0, 0, 1, 7]),
      Buffer.from([128, 0, 0, 0, 0]),
      Buffer.from(text(40)),
    ]);
  return {
    http2(): { headers: OutgoingHttpHeaders; body: Buffer } {
      const method = pick(methods);
      const headers: OutgoingHttpHeaders = { ":method": method, ":authority": pick(authorities) };
      if (method !== "CONNECT") {
        headers[":path"] = path();
        headers[":scheme"] = pick(["http", "https", "ftp", ""]);
      }
      for (const [name, value] of [["content-type", pick(contentTypes)] as const, ...extra()]) {
        headers[name] = value;
      }
      return { headers, body: body() };
    },
    http1(): Buffer {
      const bytes = body();
      const lines = [
        `${pick(methods)} ${path() || "/"} HTTP/${pick(["1.1", "1.1", "1.1", "1.0", "2.0", "9"])}`,
        ...(random() < 0.9 ? [`Host: ${pick(authorities)}`] : []),
        ...extra().map(([name, value]) => `${name}: ${value}`),
        `Content-Type: ${pick(contentTypes)}`,
        random() < 0.9
          ? `Content-Length: ${bytes.length}`
          : `Transfer-Encoding: ${pick(["chunked", "x", "gzip"])}`,
        "Connection: close",
      ];
      return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), bytes]);
    },
  };
}

type Fuzzer = ReturnType<typeof createFuzzer>;

/** Sends requests over HTTP/2, some at a time, on new sessions when the server has closed the old one. */
export async function fuzzHttp2(origin: string, fuzzer: Fuzzer, count: number, tally: Tally): Promise<void> {
  let session = connect(origin);
  session.on("error", () => undefined);
  const one = (): Promise<string> =>
    new Promise((resolve) => {
      if (session.closed || session.destroyed) {
        session = connect(origin);
        session.on("error", () => undefined);
      }
      const { headers, body } = fuzzer.http2();
      let status: unknown;
      try {
        const stream = session.request(headers, { endStream: false });
        stream.on("response", (head) => {
          status = head[":status"];
        });
        stream.on("error", () => undefined);
        stream.on("close", () =>
          resolve(status === undefined ? `reset ${stream.rstCode}` : `HTTP ${status}`),
        );
        stream.resume();
        stream.setTimeout(10_000, () => {
          resolve("hangs");
          stream.close(constants.NGHTTP2_CANCEL);
        });
        stream.end(body);
      } catch {
        resolve("not sent");
      }
    });
  await inParallel(20, count, one, tally);
  session.destroy();
}

/** Sends requests over HTTP/1.1, each on a connection of its own. */
export async function fuzzHttp1(port: number, fuzzer: Fuzzer, count: number, tally: Tally): Promise<void> {
  const one = async (): Promise<string> => {
    const connection = await connectRaw(port);
    connection.socket.setTimeout(10_000, () => connection.socket.destroy());
    // Half-closed at once, so that a body that never comes is known not to.
    connection.socket.end(fuzzer.http1());
    const after = await connection.closed();
    return after > 9_900 ? "hangs" : (/^HTTP\/1\.1 \d+/.exec(connection.received())?.[0] ?? "closed");
  };
  await inParallel(20, count, one, tally);
}

async function inParallel(
  width: number,
  count: number,
  run: () => Promise<string>,
  tally: Tally,
): Promise<void> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const outcome = await run();
      tally[outcome] = (tally[outcome] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}
