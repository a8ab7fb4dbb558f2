import { describe, expect, test } from "vitest";
import { normalizeDeadline } from "../../src/server/deadline.ts";
import { pathOf, startServer } from "./server.ts";
import { errorOf, reasonOf, send, withSession } from "./wire.ts";

const limits = { maxTimeoutMs: 3_600_000, defaultTimeoutMs: 30_000 };
const hour = "3600000";

describe.each([
  ["connect", "connect-timeout-ms"],
  ["grpc", "grpc-timeout"],
  ["grpc-web", "grpc-timeout"],
] as const)("%s", (protocol, name) => {
  const normalize = (value: string | undefined, isUnary = true) => {
    const header = new Headers(value === undefined ? {} : { [name]: value });
    const timeoutMs = normalizeDeadline(header, protocol, isUnary, limits);
    return { timeoutMs, header: header.get(name) };
  };
  const unit = protocol === "connect" ? "" : "m";

  test("a unary call without a deadline gets the default", () => {
    expect(normalize(undefined)).toEqual({ timeoutMs: 30_000, header: `30000${unit}` });
  });

  test("a stream without a deadline gets none", () => {
    expect(normalize(undefined, false)).toEqual({ timeoutMs: undefined, header: null });
  });

  test.each(["0", "1", "1500", hour])("%s ms is taken as it is", (ms) => {
    expect(normalize(ms + unit)).toEqual({ timeoutMs: Number(ms), header: ms + unit });
  });

  test.each(["3600001", String(2 ** 31 - 1), String(2 ** 31), "10000000000", "9".repeat(400)])(
    "%s ms is cut to an hour",
    (ms) => {
      expect(normalize(ms + unit)).toEqual({ timeoutMs: 3_600_000, header: hour + unit });
    },
  );

  test.each(["", "-1", "-1m", "1.5", "1e3", "soon", "1 S", "0x10", "5, 6"])(
    "%j is left to be refused",
    (value) => {
      expect(normalize(value)).toEqual({ timeoutMs: undefined, header: value });
    },
  );
});

test.each([
  ["99999999H", 3_600_000],
  ["2H", 3_600_000],
  ["59M", 3_540_000],
  ["5S", 5000],
  ["250u", 0.25],
  ["1000000n", 1],
])("grpc-timeout %s means %d ms", (value, timeoutMs) => {
  expect(normalizeDeadline(new Headers({ "grpc-timeout": value }), "grpc", true, limits)).toBeCloseTo(
    timeoutMs,
  );
});

test("a number without a unit is no grpc-timeout, and one with a unit no Connect-Timeout-Ms", () => {
  expect(normalizeDeadline(new Headers({ "grpc-timeout": "5" }), "grpc", true, limits)).toBeUndefined();
  expect(
    normalizeDeadline(new Headers({ "connect-timeout-ms": "5S" }), "connect", true, limits),
  ).toBeUndefined();
});

test("the deadline of gRPC keeps to 8 digits", () => {
  const header = new Headers({ "grpc-timeout": "99999999H" });
  normalizeDeadline(header, "grpc", true, { ...limits, maxTimeoutMs: 200_000_000 });
  expect(header.get("grpc-timeout")).toBe("200000S");
});

test("on the wire, a deadline is what the handler has, at most an hour, and no long one passes at once", async () => {
  const left: (number | undefined)[] = [];
  await using server = await startServer({
    tasks: {
      listTaskExecutions(_, { timeoutMs, signal }) {
        left.push(signal.aborted ? -1 : timeoutMs());
        return {};
      },
    },
  });
  const list = (headers: Record<string, string>, type: string, body: Buffer) =>
    withSession(server.origin, (session) =>
      send(session, { ":path": pathOf("ListTaskExecutions"), "content-type": type, ...headers }, body),
    );
  const overConnect = (value?: string) =>
    list(value === undefined ? {} : { "connect-timeout-ms": value }, "application/json", Buffer.from("{}"));
  const overGrpc = (value?: string) =>
    list(value === undefined ? {} : { "grpc-timeout": value }, "application/grpc", Buffer.alloc(5));

  for (const [call, value, expectedMs] of [
    [overConnect, undefined, 30_000],
    [overConnect, "1000", 1000],
    [overConnect, "2147483647", 3_600_000],
    [overConnect, "2147483648", 3_600_000],
    [overConnect, "10000000000", 3_600_000],
    [overGrpc, undefined, 30_000],
    [overGrpc, "1S", 1000],
    [overGrpc, "99999999H", 3_600_000],
    [overGrpc, "99999999S", 3_600_000],
    [overGrpc, "9999999999H", 3_600_000],
  ] as const) {
    const response = await call(value);
    expect(errorOf(response), value).toBeUndefined();
    expect(left.at(-1), value).toBeGreaterThan(expectedMs - 500);
    expect(left.at(-1), value).toBeLessThanOrEqual(expectedMs);
  }
  left.length = 0;
  for (const [call, value, reason] of [
    [overConnect, "0", "DEADLINE_EXCEEDED"],
    [overGrpc, "0S", "DEADLINE_EXCEEDED"],
    [overConnect, "-1", "REQUEST_MALFORMED"],
    [overConnect, "soon", "REQUEST_MALFORMED"],
    [overGrpc, "-5S", "REQUEST_MALFORMED"],
    [overGrpc, "5", "REQUEST_MALFORMED"],
  ] as const) {
    expect(reasonOf(errorOf(await call(value))), value).toBe(reason);
  }
  expect(left).toEqual([]);
});
