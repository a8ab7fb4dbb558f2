import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { Connection } from "./connection.ts";
import { whenVisible } from "./visibility.ts";

/** What the messages of every watch have in common. */
export interface WatchMessage {
  readonly resumeToken: string;
  readonly content: { readonly case: string | undefined };
}

/** A watch that goes on until its signal fires. */
export interface WatchOptions<Message extends WatchMessage> {
  readonly open: (resumeToken: string, signal: AbortSignal) => AsyncIterable<Message>;
  readonly onMessage: (message: Message) => void;
  /** Called when everything is told anew: what was told so far is void. */
  readonly onRestart: () => void;
  readonly onConnection: (connection: Connection) => void;
  readonly signal: AbortSignal;
  /** Wakes a watch that sleeps after the end. */
  readonly poke: EventTarget;
}

/** The service says something each 15 seconds at least. */
const silenceMs = 35_000;
const firstBackoffMs = 250;
const mostBackoffMs = 5000;
/** How often a run that has ended is looked at again: its tasks may be amended, or run once more. */
const endedMs = 5000;

/** These do not pass by waiting. */
const fatal = new Set([
  Code.NotFound,
  Code.InvalidArgument,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.Unimplemented,
]);

/**
 * Watches, and resumes where it was whenever the connection is lost.
 *
 * Pages that nobody sees let go of the connection: browsers have six of them for all tabs together.
 *
 * @throws ConnectError if trying again would not help
 */
export async function watch<Message extends WatchMessage>(options: WatchOptions<Message>): Promise<void> {
  const { signal, onConnection, onRestart } = options;
  let token = "";
  let backoffMs = firstBackoffMs;
  while (!signal.aborted) {
    const attempt = await follow(options, token, () => {
      backoffMs = firstBackoffMs;
    });
    token = attempt.token;
    if (signal.aborted) {
      return;
    }
    if (attempt.outcome === "ended") {
      await sleep(endedMs, signal, options.poke);
    } else if (attempt.outcome === "broken") {
      if (isTokenRefused(attempt.error)) {
        token = "";
        onRestart();
      } else if (fatal.has(ConnectError.from(attempt.error).code)) {
        throw attempt.error;
      }
      onConnection("reconnecting");
      await sleep(backoffMs * (0.5 + Math.random()), signal);
      backoffMs = Math.min(backoffMs * 2, mostBackoffMs);
    }
    await whenVisible(signal);
  }
}

interface Attempt {
  readonly token: string;
  readonly outcome: "ended" | "broken" | "hidden";
  readonly error?: unknown;
}

/** Follows one stream to its end. */
async function follow<Message extends WatchMessage>(
  { open, onMessage, onRestart, onConnection, signal }: WatchOptions<Message>,
  resumeToken: string,
  onAlive: () => void,
): Promise<Attempt> {
  let token = resumeToken;
  const silence = new AbortController();
  const hidden = new AbortController();
  const release = whenHidden(hidden);
  let timer = setTimeout(() => silence.abort(), silenceMs);
  try {
    for await (const message of open(token, AbortSignal.any([signal, silence.signal, hidden.signal]))) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), silenceMs);
      onAlive();
      onConnection("live");
      token = message.resumeToken || token;
      if (message.content.case === "resync") {
        onRestart();
      }
      onMessage(message);
      if (message.content.case === "end") {
        return { token, outcome: "ended" };
      }
    }
    return {
      token,
      outcome: "broken",
      error: new ConnectError("the stream was broken off", Code.Unavailable),
    };
  } catch (error) {
    return { token, outcome: hidden.signal.aborted ? "hidden" : "broken", error };
  } finally {
    clearTimeout(timer);
    release();
  }
}

function isTokenRefused(error: unknown): boolean {
  return ConnectError.from(error)
    .findDetails(ErrorInfoSchema)
    .some(({ reason }) => reason === "ERROR_REASON_RESUME_TOKEN_INVALID");
}

/** Aborts when the page has been out of sight for a while; returns what stops that. */
function whenHidden(controller: AbortController): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = (): void => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(() => controller.abort(), 30_000);
    }
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

/** Waits; not any longer when the signal fires or the target is poked. */
function sleep(ms: number, signal: AbortSignal, poke = new EventTarget()): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      poke.removeEventListener("poke", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
    poke.addEventListener("poke", done);
  });
}
