import { gunzipSync } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  compressedFlag,
  createAsyncIterable,
  readAllBytes,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  endStreamFlag,
  endStreamFromJson,
  errorFromJsonBytes,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse } from "@connectrpc/connect/protocol-grpc-web";
import { encodeEndOfStream, encodeWebTrailer, setGrpcStatus } from "./error-response.ts";
import { isConnectStream, protocolOf } from "./protocol.ts";

/** Returns what is to be sent for an error: the same object if it is right as it is. */
export type Reshape = (error: ConnectError) => ConnectError;

const envelopeHeadLength = 5;

/**
 * Gives the errors that Connect raises outside of all interceptors the shape of the others: for bytes that are
 * no message, unknown compression, messages over their limit, in requests and in responses.
 *
 * There is no hook for them, so they are replaced where they are written, which the protocols define: in the
 * trailers of gRPC, in the last envelope of gRPC-Web and of Connect streams, in the body of unary Connect.
 */
export async function reshapeErrors(
  response: UniversalServerResponse,
  reshape: Reshape,
): Promise<UniversalServerResponse> {
  const { header, body, trailer } = response;
  const contentType = header?.get("content-type");
  if (body === undefined) {
    return response;
  }
  if (isConnectStream(contentType)) {
    return { ...response, body: mapLast(body, endStreamFlag, (data) => reshapeEndOfStream(data, reshape)) };
  }
  switch (protocolOf(contentType)) {
    case "grpc":
      return trailer === undefined
        ? response
        : { ...response, body: reshapeTrailers(body, trailer, reshape) };
    case "grpc-web":
      return { ...response, body: mapLast(body, trailerFlag, (data) => reshapeWebTrailer(data, reshape)) };
    case "connect":
      return response.status === 200 ? response : await reshapeJson(response, body, reshape);
  }
}

/** Rewrites the trailers in place once the body is through; they are read only after it. */
async function* reshapeTrailers(
  body: AsyncIterable<Uint8Array>,
  trailer: Headers,
  reshape: Reshape,
): AsyncIterable<Uint8Array> {
  yield* body;
  reshapeTrailer(trailer, reshape);
}

function reshapeTrailer(trailer: Headers, reshape: Reshape): boolean {
  const error = findTrailerError(trailer);
  if (error === undefined) {
    return false;
  }
  setGrpcStatus(trailer, reshape(error));
  return true;
}

function reshapeWebTrailer(data: Uint8Array, reshape: Reshape): Uint8Array | undefined {
  const trailer = trailerParse(data);
  return reshapeTrailer(trailer, reshape) ? encodeWebTrailer(trailer) : undefined;
}

function reshapeEndOfStream(data: Uint8Array, reshape: Reshape): Uint8Array | undefined {
  const { error, metadata } = endStreamFromJson(data);
  const shaped = error && reshape(error);
  return shaped === undefined || shaped === error ? undefined : encodeEndOfStream(shaped, metadata);
}

async function reshapeJson(
  response: UniversalServerResponse,
  body: AsyncIterable<Uint8Array>,
  reshape: Reshape,
): Promise<UniversalServerResponse> {
  const header = new Headers(response.header);
  const sent = await readAllBytes(body, Number.MAX_SAFE_INTEGER);
  const json = header.get("content-encoding") === "gzip" ? gunzipSync(sent) : sent;
  const error = errorFromJsonBytes(json, undefined, new ConnectError("internal error", Code.Internal));
  const shaped = reshape(error);
  if (shaped === error) {
    return { ...response, body: createAsyncIterable([sent]) };
  }
  const bytes = errorToJsonBytes(shaped, undefined);
  header.delete("content-encoding");
  header.set("content-length", String(bytes.byteLength));
  return { ...response, status: codeToHttpStatus(shaped.code), header, body: createAsyncIterable([bytes]) };
}

/** Lets `map` replace the envelope with the given flag. Connect yields one envelope per chunk. */
async function* mapLast(
  body: AsyncIterable<Uint8Array>,
  flag: number,
  map: (data: Uint8Array) => Uint8Array | undefined,
): AsyncIterable<Uint8Array> {
  for await (const envelope of body) {
    const flags = envelope[0] ?? 0;
    if ((flags & flag) === 0) {
      yield envelope;
      continue;
    }
    const data = envelope.subarray(envelopeHeadLength);
    yield map((flags & compressedFlag) === 0 ? data : gunzipSync(data)) ?? envelope;
  }
}
