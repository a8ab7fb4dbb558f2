import { toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { refuseSession, type Session } from "../session/session.ts";
import type { CallLog } from "./call-log.ts";

/** Returns the way to the service that this page came from, signed in. */
export function createTransport(session: Session, log: CallLog): Transport {
  return createConnectTransport({
    baseUrl: location.origin,
    interceptors: [endSession(session), recordCalls(log), authorize(session.credential)],
    defaultTimeoutMs: 30_000,
  });
}

function authorize(credential: string): Interceptor {
  return (next) => (req) => {
    req.header.set("authorization", `Bearer ${credential}`);
    return next(req);
  };
}

function recordCalls(log: CallLog): Interceptor {
  return (next) => async (req) => {
    const request = req.stream ? await firstOf(req.message) : req.message;
    // A watch that goes on where it was is no other call.
    if (request !== undefined && "resumeToken" in request && request.resumeToken !== "") {
      return next({ ...req, message: iterate(request) } as typeof req);
    }
    const end = log.begin(req.method, request === undefined ? "{}" : toJsonString(req.method.input, request));
    const fail = (error: unknown) => end(nameOf(ConnectError.from(error).code));
    try {
      const again = req.stream && request !== undefined ? { ...req, message: iterate(request) } : req;
      const response = await next(again);
      if (response.stream) {
        return { ...response, message: observe(response.message, () => end("ok"), fail) };
      }
      end("ok");
      return response;
    } catch (error) {
      fail(error);
      throw error;
    }
  };
}

/** Passes a stream on, and tells how it ended. */
async function* observe<T>(
  messages: AsyncIterable<T>,
  onEnd: () => void,
  onError: (error: unknown) => void,
): AsyncIterable<T> {
  try {
    yield* messages;
    onEnd();
  } catch (error) {
    onError(error);
    throw error;
  }
}

/** Takes the one message of a server stream. */
async function firstOf<T>(messages: AsyncIterable<T>): Promise<T | undefined> {
  for await (const message of messages) {
    return message;
  }
  return undefined;
}

async function* iterate<T>(message: T): AsyncIterable<T> {
  yield message;
}

/** Returns the name of a code as gRPC writes it, such as NOT_FOUND. */
export function nameOf(code: Code): string {
  return (Code[code] ?? "Unknown").replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

function endSession(session: Session): Interceptor {
  const look = (error: unknown) => {
    if (ConnectError.from(error).code === Code.Unauthenticated) {
      refuseSession(session);
    }
  };
  return (next) => async (req) => {
    try {
      const response = await next(req);
      return response.stream
        ? { ...response, message: observe(response.message, () => undefined, look) }
        : response;
    } catch (error) {
      look(error);
      throw error;
    }
  };
}
