import { constants } from "node:http2";
import { streamUntilAborted } from "./abortable.ts";
import { clientGone, tooLarge } from "./framework-error.ts";
import type { NodeRequest } from "./node-http.ts";

const firstCapacity = 4096;

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
    let buffer = Buffer.alloc(0);
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
export async function* readChunks(request: NodeRequest, signal: AbortSignal): AsyncIterable<Uint8Array> {
  yield* streamUntilAborted(signal, request.iterator({ destroyOnReturn: false }));
  if (isCutOff(request)) {
    throw clientGone();
  }
}

/** Reports whether a body that ended was cut off: Node ends it like any other when the client resets the stream. */
function isCutOff({ stream, complete }: NodeRequest): boolean {
  return stream === undefined ? !complete : stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR;
}
