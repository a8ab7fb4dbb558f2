import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { toJson } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { endStreamFlag, endStreamFromJson, errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse } from "@connectrpc/connect/protocol-grpc-web";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";

/** A response over HTTP/2, whole. */
export interface RawResponse {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The code with which the server reset the stream, 0 if it did not. */
  readonly resetCode: number;
}

/** What a client can tell of an error. */
export interface SeenError {
  readonly code: string;
  readonly message: string;
  readonly details: unknown[];
}

/** Sends one request over HTTP/2, as it is. Without an end of the body it is left open. */
export function send(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: Uint8Array,
  { endStream = true } = {},
): Promise<RawResponse> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "POST", ...headers }, { endStream: false });
    const chunks: Buffer[] = [];
    let head: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    stream.on("response", (received) => {
      head = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("close", () => {
      resolve({
        status: Number(head[":status"]),
        headers: head,
        trailers,
        body: Buffer.concat(chunks),
        resetCode: stream.rstCode ?? 0,
      });
    });
    if (body !== undefined) {
      stream.write(body);
    }
    if (endStream) {
      stream.end();
    }
  });
}

/** Runs a function with an HTTP/2 session of its own. */
export async function withSession<T>(
  origin: string,
  run: (session: ClientHttp2Session) => Promise<T>,
): Promise<T> {
  // The client holds back what the server does not read; 10 MB is the default.
  const session = connect(origin, { maxSessionMemory: 1000 });
  session.on("error", () => undefined);
  try {
    return await run(session);
  } finally {
    session.destroy();
  }
}

/** The ways to say a unary request with its bytes: content type and framing. */
export const framings = {
  grpc: { type: "application/grpc", frame: (bytes: Uint8Array) => encodeEnvelope(0, bytes) },
  "grpc-web": { type: "application/grpc-web+proto", frame: (bytes: Uint8Array) => encodeEnvelope(0, bytes) },
  "connect binary": { type: "application/proto", frame: (bytes: Uint8Array) => bytes },
} as const;

/** Reads the error of a response in whichever protocol it is; undefined if it is none. */
export function errorOf({ headers, trailers, body, status }: RawResponse): SeenError | undefined {
  const type = headers["content-type"] ?? "";
  const error = type.startsWith("application/grpc-web")
    ? findTrailerError(trailerParse(lastEnvelope(body, trailerFlag)))
    : type.startsWith("application/grpc")
      ? findTrailerError(new Headers(Object.entries(trailers) as [string, string][]))
      : type.startsWith("application/connect+")
        ? endStreamFromJson(lastEnvelope(body, endStreamFlag)).error
        : status === 200
          ? undefined
          : errorFromJsonBytes(body, undefined, new ConnectError(`not an error: ${body}`, Code.Unknown));
  return error && seen(error);
}

/** Returns what can be compared of an error: code, message and details. */
export function seen(error: ConnectError): SeenError {
  const details = [
    ...error.findDetails(ErrorInfoSchema).map((detail) => toJson(ErrorInfoSchema, detail)),
    ...error.findDetails(RequestInfoSchema).map((detail) => toJson(RequestInfoSchema, detail)),
    ...error.findDetails(BadRequestSchema).map((detail) => toJson(BadRequestSchema, detail)),
    ...error.findDetails(RetryInfoSchema).map((detail) => toJson(RetryInfoSchema, detail)),
  ];
  if (details.length !== error.details.length) {
    throw new Error(
      `unknown details: ${error.details.map((detail) => ("type" in detail ? detail.type : "?"))}`,
    );
  }
  return { code: Code[error.code] ?? "?", message: error.rawMessage, details };
}

/** Returns the reason of an error's google.rpc.ErrorInfo, without its prefix. */
export function reasonOf(error: SeenError | undefined): string | undefined {
  for (const detail of error?.details ?? []) {
    if (typeof detail === "object" && detail !== null && "reason" in detail) {
      return String(detail.reason).replace("ERROR_REASON_", "");
    }
  }
  return undefined;
}

function lastEnvelope(body: Buffer, flag: number): Uint8Array {
  for (let at = 0; at + 5 <= body.length; at += 5 + body.readUInt32BE(at + 1)) {
    if (((body[at] ?? 0) & flag) !== 0) {
      return body.subarray(at + 5, at + 5 + body.readUInt32BE(at + 1));
    }
  }
  throw new Error(`no last envelope in ${body.toString("hex")}`);
}
