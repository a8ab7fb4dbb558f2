import { mkdirSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";

/** One thing that a client was told, or is about to say. Times are milliseconds since 1970. */
export type Entry = { readonly at: number } & (
  | { readonly kind: "created"; readonly run: string; readonly flow: string }
  | {
      readonly kind: "amended";
      readonly run: string;
      readonly id: string;
      readonly output: string;
      readonly stale: readonly string[];
    }
  | {
      readonly kind: "claimed";
      readonly worker: string;
      readonly run: string;
      readonly id: string;
      readonly task: string;
      readonly iteration: number | undefined;
      readonly token: string;
      readonly requestId: string;
    }
  | { readonly kind: "kept" | "lost"; readonly worker: string; readonly id: string; readonly token: string }
  | {
      readonly kind: "reported";
      readonly worker: string;
      readonly id: string;
      readonly token: string;
      readonly result: "completed" | "failed";
      /** "taken", or the reason of the refusal. */
      readonly answer: string;
    }
  | { readonly kind: "error"; readonly method: string; readonly code: number; readonly reason: string }
);

/** What is written down of an entry: the time comes by itself. */
type Said = Entry extends infer E ? (E extends Entry ? Omit<E, "at"> : never) : never;

/** Writes down what one client is told. */
export type Recorder = (entry: Said) => void;

/**
 * Opens the history of one client: a file with a line of JSON for each entry. A line is with the operating
 * system when the call returns, so that it outlives a process that is killed.
 */
export function openHistory(dir: string, name: string): Recorder {
  mkdirSync(dir, { recursive: true });
  const file = openSync(join(dir, `${name}.jsonl`), "a");
  return (entry) => {
    writeSync(file, `${JSON.stringify({ at: Date.now(), ...entry })}\n`);
  };
}

/** Returns what all clients were told, in the order of time. */
export function readHistory(dir: string): Entry[] {
  const lines = readdirSync(dir).flatMap((file) => readFileSync(join(dir, file), "utf8").split("\n"));
  const entries = lines.filter(Boolean).map((line) => JSON.parse(line) as Entry);
  return entries.sort((a, b) => a.at - b.at);
}

/** How Node says that the other side of a stream is gone: as if we had cancelled it ourselves, which nobody does here. */
const lostStream = /^http\/2 stream closed with error code CANCEL/;

/** Returns the code of an error and its reason without prefix; or the message, if the connection was lost. */
export function toSaid(error: ConnectError): { code: Code; reason: string } {
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason.replace("ERROR_REASON_", "");
  const isLost = reason === undefined && lostStream.test(error.rawMessage);
  return { code: isLost ? Code.Unavailable : error.code, reason: reason ?? error.rawMessage };
}

/**
 * Makes calls to several servers: when one cannot answer, the next one is asked, until one has.
 *
 * @param record is told of each error
 */
export function createCaller<Client>(
  clients: readonly Client[],
  record: Recorder,
  random: () => number,
): <T>(
  method: string,
  call: (client: Client) => Promise<T>,
  isFinal?: (error: ConnectError) => boolean,
) => Promise<T> {
  let next = Math.floor(random() * clients.length);
  return async (method, call, isFinal = () => false) => {
    for (;;) {
      try {
        return await call(clients[next % clients.length]!);
      } catch (thrown) {
        const error = ConnectError.from(thrown);
        record({ kind: "error", method, ...toSaid(error) });
        if (isFinal(error)) throw error;
        next++;
        await new Promise((resolve) => setTimeout(resolve, 50 + 150 * random()));
      }
    }
  };
}
