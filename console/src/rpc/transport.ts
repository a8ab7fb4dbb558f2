import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { refuseSession, type Session } from "../session/session.ts";
import type { CallLog } from "./call-log.ts";
import { requestJson } from "./grpcurl.ts";

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
    const end = log.begin(req.method, request === undefined ? "{}" : requestJson(req.method.input, request));
    try {
      const response = await next(
        req.stream && request !== undefined ? { ...req, message: iterate(request) } : req,
      );
      end("ok");
      return response;
    } catch (error) {
      end(nameOf(ConnectError.from(error).code));
      throw error;
    }
  };
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
  return (next) => async (req) => {
    try {
      return await next(req);
    } catch (error) {
      if (ConnectError.from(error).code === Code.Unauthenticated) {
        refuseSession(session);
      }
      throw error;
    }
  };
}
