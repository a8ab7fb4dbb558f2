import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type WatchMessage, watch } from "../src/live/watch.ts";

beforeAll(() => {
  vi.stubGlobal("document", Object.assign(new EventTarget(), { hidden: false }));
});

afterAll(() => {
  vi.unstubAllGlobals();
});

const message = (token: string, kind = "changes"): WatchMessage => ({
  resumeToken: token,
  content: { case: kind },
});

/** What one opened stream does: messages, then an error or its end. */
type Script = readonly (WatchMessage | ConnectError)[];

/** Watches streams that follow their scripts, one after the other, and stops when there are no more. */
async function follow(scripts: readonly Script[], poke = new EventTarget()) {
  const controller = new AbortController();
  const told: string[] = [];
  let opened = 0;
  let last = "connecting";
  const error = await watch({
    signal: controller.signal,
    poke,
    onConnection: (connection) => {
      if (connection !== last) told.push(connection);
      last = connection;
    },
    onRestart: () => told.push("restart"),
    onMessage: ({ content }) => told.push(`told ${content.case}`),
    open: async function* (token) {
      told.push(`open ${token || "anew"}`);
      const script = scripts[opened++];
      if (script === undefined) {
        controller.abort();
        return;
      }
      for (const each of script) {
        if (each instanceof ConnectError) {
          throw each;
        }
        yield each;
      }
    },
  }).catch((thrown: unknown) => thrown);
  return { told, error };
}

const lost = new ConnectError("gone", Code.Unavailable);

test("a stream that breaks is resumed with the token of its last message", async () => {
  const { told } = await follow([[message("a"), message("b"), lost], [message("c")]]);
  expect(told).toEqual([
    "open anew",
    "live",
    "told changes",
    "told changes",
    "reconnecting",
    "open b",
    "live",
    "told changes",
    "reconnecting",
    "open c",
  ]);
});

test("a token that is refused is given up, and everything is told anew", async () => {
  const info = create(ErrorInfoSchema, { reason: "ERROR_REASON_RESUME_TOKEN_INVALID", domain: "taskledger" });
  const refused = new ConnectError("no", Code.InvalidArgument, undefined, [
    { desc: ErrorInfoSchema, value: info },
  ]);
  const { told } = await follow([[message("a"), lost], [refused]]);
  expect(told.slice(-3)).toEqual(["open a", "restart", "open anew"]);
});

test("a resync says beforehand that what was told is void", async () => {
  const { told } = await follow([[message("a"), message("b", "resync"), message("c", "snapshot")]]);
  expect(told.slice(0, 6)).toEqual([
    "open anew",
    "live",
    "told changes",
    "restart",
    "told resync",
    "told snapshot",
  ]);
});

test.each([Code.NotFound, Code.PermissionDenied, Code.Unauthenticated, Code.InvalidArgument])(
  "code %d ends the watch, because waiting does not help",
  async (code) => {
    const { told, error } = await follow([[new ConnectError("no", code)]]);
    expect(told).toEqual(["open anew"]);
    expect(ConnectError.from(error).code).toBe(code);
  },
);

test("a watch that came to its end is looked at again when the page has changed something", async () => {
  const poke = new EventTarget();
  const timer = setInterval(() => poke.dispatchEvent(new Event("poke")), 5);
  const { told } = await follow([[message("a", "end")]], poke);
  clearInterval(timer);
  expect(told).toEqual(["open anew", "live", "told end", "open a"]);
});
