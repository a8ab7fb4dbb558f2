import type { ConnectError } from "@connectrpc/connect";
import {
  createAsyncIterable,
  encodeEnvelope,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  endStreamFlag,
  endStreamToJson,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import { isConnectStream, protocolOf } from "./protocol.ts";

/**
 * Returns the response that says an error in the protocol of the request.
 *
 * What is no RPC at all gets the JSON of the Connect protocol, which people and programs can read.
 *
 * @param contentType the content type of the request
 * @param status the HTTP status for JSON, if it is not that of the code; the other protocols always use 200
 */
export function toErrorResponse(
  error: ConnectError,
  contentType: string | null | undefined,
  status = codeToHttpStatus(error.code),
): UniversalServerResponse {
  if (isConnectStream(contentType)) {
    const header = new Headers({ "content-type": contentType ?? "" });
    return { status: 200, header, body: createAsyncIterable([encodeEndOfStream(error)]) };
  }
  switch (protocolOf(contentType)) {
    case "grpc": {
      const header = new Headers({ "content-type": "application/grpc" });
      return { status: 200, header, trailer: setGrpcStatus(new Headers(), error) };
    }
    case "grpc-web": {
      const header = new Headers({ "content-type": "application/grpc-web+proto" });
      const trailer = setGrpcStatus(new Headers(), error);
      return { status: 200, header, body: createAsyncIterable([encodeWebTrailer(trailer)]) };
    }
    case "connect": {
      const body = errorToJsonBytes(error, undefined);
      const header = new Headers({
        "content-type": "application/json",
        "content-length": String(body.byteLength),
      });
      return { status, header, body: createAsyncIterable([body]) };
    }
  }
}

/**
 * Sets the status of a failed call in the trailers of gRPC, and returns these.
 *
 * Connect escapes every reserved character of the message, which the protocol allows. But grpc-js reads it with
 * decodeURI, which leaves those as they are: its users would read `task%2F0`. So no more than needs be is escaped.
 */
export function setGrpcStatus(trailer: Headers, error: ConnectError): Headers {
  setTrailerStatus(trailer, error);
  const message = error.rawMessage.replace(/[^\x20-\x24\x26-\x7e]+|^ +| +$/g, encodeURIComponent);
  trailer.set("grpc-message", message);
  return trailer;
}

/** Returns the last envelope of a gRPC-Web response. */
export function encodeWebTrailer(trailer: Headers): Uint8Array<ArrayBuffer> {
  return encodeEnvelope(trailerFlag, trailerSerialize(trailer));
}

/** Returns the last envelope of a Connect stream that failed. */
export function encodeEndOfStream(error: ConnectError, metadata = new Headers()): Uint8Array<ArrayBuffer> {
  const json = JSON.stringify(endStreamToJson(metadata, error, undefined));
  return encodeEnvelope(endStreamFlag, new TextEncoder().encode(json));
}
