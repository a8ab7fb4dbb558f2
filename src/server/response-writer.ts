import type { OutgoingHttpHeaders } from "node:http";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { Exchange } from "./exchange.ts";
import type { NodeResponse } from "./node-http.ts";

/** Thrown when the client went away, or stopped reading, before the response was written. */
export class ResponseCutOff extends Error {
  override readonly name = "ResponseCutOff";
}

/** A response of gRPC that is there as a whole. */
export interface WholeResponse {
  readonly header: OutgoingHttpHeaders;
  /** The envelope. None if the call failed. */
  readonly body?: Uint8Array;
  readonly trailer: OutgoingHttpHeaders;
}

/** Writes a response that is there as a whole, as {@link writeResponse} does. */
export async function writeWhole(
  { header, body, trailer }: WholeResponse,
  { response, isClosed }: Exchange,
  stallMs: number,
): Promise<void> {
  if (isClosed()) {
    throw new ResponseCutOff("the client went away");
  }
  response.writeHead(200, header);
  if (body !== undefined && !response.write(body)) {
    const connection = watch(response, stallMs);
    await connection.drained().finally(connection.release);
  }
  response.addTrailers(trailer);
  response.end();
}

/**
 * Writes a response, no faster than the client reads.
 *
 * Unlike the writer of connect-node it notices a client that vanishes while the write waits: the body is told
 * by an exception, so that a generator parked in `yield` reaches its `finally`.
 *
 * @param stallMs how long the client may read nothing while bytes wait for it
 * @throws ResponseCutOff, or what the body throws
 */
export async function writeResponse(
  { status, header, body, trailer }: UniversalServerResponse,
  node: NodeResponse,
  stallMs: number,
): Promise<void> {
  const chunks = body?.[Symbol.asyncIterator]();
  const connection = watch(node, stallMs);
  try {
    // The head goes out after the first chunk is there, because a handler may set headers until then.
    let chunk = await chunks?.next();
    connection.check();
    node.writeHead(status, header && Object.fromEntries(header));
    while (chunk !== undefined && chunk.done !== true) {
      if (!node.write(chunk.value)) {
        await connection.drained();
      }
      chunk = await chunks?.next();
      connection.check();
    }
    if (trailer !== undefined) {
      node.addTrailers(Object.fromEntries(trailer));
    }
    node.end();
  } catch (error) {
    // Says so to the pipeline behind the body; it answers with the same error, which we have already.
    await chunks?.throw?.(error).catch(() => undefined);
    throw error;
  } finally {
    connection.release();
  }
}

function watch(node: NodeResponse, stallMs: number) {
  let closed = false;
  let wake = (): void => undefined;
  const onClose = (): void => {
    closed = true;
    wake();
  };
  const onDrain = (): void => wake();
  node.on("close", onClose).on("drain", onDrain);
  return {
    check(): void {
      if (closed) {
        throw new ResponseCutOff("the client went away");
      }
    },
    async drained(): Promise<void> {
      const stalled = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(resolve, stallMs, true);
        wake = () => {
          clearTimeout(timer);
          resolve(false);
        };
        if (closed) {
          wake();
        }
      });
      this.check();
      if (stalled) {
        throw new ResponseCutOff("the client stopped reading");
      }
    },
    release(): void {
      node.off("close", onClose).off("drain", onDrain);
    },
  };
}
