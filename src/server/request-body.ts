import { constants } from "node:http2";
import { LedgerError } from "../errors.ts";
import { streamUntilAborted } from "./abortable.ts";
import type { Exchange } from "./exchange.ts";
import { clientGone, deadlineExceeded, tooLarge } from "./framework-error.ts";
import type { Limits } from "./limits.ts";
import type { NodeRequest } from "./node-http.ts";

const firstCapacity = 4096;
const empty = Buffer.alloc(0);

/** Room in the body of a call for what is around its message: the envelope, and gRPC-Web's trailers. */
const envelopeRoom = 1024;

/**
 * Reads the body of a call with one message, after it was let in. A client that trickles it, or never ends, costs a
 * deadline and no more.
 *
 * @param timeoutMs the deadline of the call
 * @param admit throws if the call is refused
 */
export async function readWhole(
  exchange: Exchange,
  { bodyTimeoutMs, readMaxBytes }: Limits,
  timeoutMs = bodyTimeoutMs,
  admit: () => Promise<void> | undefined,
): Promise<Uint8Array> {
  const timer = setTimeout(
    () => {
      const error = timeoutMs < bodyTimeoutMs ? deadlineExceeded() : bodyTooSlow(bodyTimeoutMs);
      exchange.abort(error);
    },
    Math.min(timeoutMs, bodyTimeoutMs),
  );
  try {
    const refusal: unknown = await admit()?.then(
      () => undefined,
      (error: unknown) => error,
    );
    // What is refused is read all the same: some clients wait for ever if what they send is left lying.
    const body = await readBody(exchange.request, readMaxBytes + envelopeRoom, exchange.signal, !refusal);
    if (refusal) {
      throw refusal;
    }
    return body;
  } finally {
    clearTimeout(timer);
  }
}

function bodyTooSlow(limitMs: number): LedgerError {
  return new LedgerError("DEADLINE_EXCEEDED", `the request was not complete after ${limitMs} ms`);
}

/**
 * Reads a whole request body, but never more than the limit.
 *
 * Connect could do this itself, but it forgets to stop when the client does: it waits for ever for the rest,
 * takes a body that was cut off for a whole one, and adds up the sizes of all chunks at every chunk, so that a
 * megabyte in frames of one byte blocks the process for seconds.
 *
 * @param keep whether to return it; if not, it is only waited for, and the result is empty
 * @param signal aborts when the client goes away or the time for the body is over; its reason is thrown
 * @throws LedgerError also if the body is larger than the limit
 */
export function readBody(
  request: NodeRequest,
  limit: number,
  signal: AbortSignal,
  keep = true,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let buffer: Buffer = empty;
    let size = 0;
    const settle = (finish: () => void): void => {
      request.off("data", onData).off("end", onEnd).off("error", onError);
      signal.removeEventListener("abort", onAbort);
      request.pause();
      finish();
    };
    const fail = (error: unknown): void => settle(() => reject(error));
    const onAbort = (): void => fail(signal.reason);
    const onError = (): void => fail(signal.aborted ? signal.reason : clientGone());
    const onData = (chunk: Buffer): void => {
      if (size + chunk.length > limit) {
        fail(tooLarge("request", limit));
        return;
      }
      if (!keep) {
        size += chunk.length;
        return;
      }
      if (size === 0) {
        // Most bodies come in one piece, which nobody else holds.
        buffer = chunk;
        size = chunk.length;
        return;
      }
      if (size + chunk.length > buffer.length) {
        const capacity = Math.max(firstCapacity, buffer.length * 2, size + chunk.length);
        const grown = Buffer.allocUnsafe(Math.min(capacity, limit));
        buffer.copy(grown, 0, 0, size);
        buffer = grown;
      }
      size += chunk.copy(buffer, size);
    };
    const onEnd = (): void => {
      if (isCutOff(request)) {
        fail(clientGone());
      } else {
        settle(() => resolve(buffer.subarray(0, keep ? size : 0)));
      }
    };
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    if (Number(request.headers["content-length"] ?? 0) > limit) {
      reject(tooLarge("request", limit));
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    request.on("data", onData).on("end", onEnd).on("error", onError);
  });
}

/**
 * Passes on the body of a request that may hold many messages, as it arrives.
 *
 * @param signal see {@link readBody}
 * @throws LedgerError if the body is cut off
 */
export async function* readChunks(request: NodeRequest, signal: AbortSignal): AsyncIterable<Buffer> {
  yield* streamUntilAborted(signal, request.iterator({ destroyOnReturn: false }));
  if (isCutOff(request)) {
    throw clientGone();
  }
}

/** Reports whether a body that ended was cut off: Node ends it like any other when the client resets the stream. */
function isCutOff({ stream, complete }: NodeRequest): boolean {
  return stream === undefined ? !complete : stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR;
}
