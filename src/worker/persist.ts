import { setTimeout as sleep } from "node:timers/promises";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";

/** The first pause between two tries. Each further one is twice as long. */
const firstPauseMs = 100;
/** The longest pause: a service that comes back is found within it. */
const longestPauseMs = 5000;

/** How a call is repeated. */
export interface Persistence {
  /** Ends it: the error of the last try is thrown, or the reason of the signal. */
  readonly signal?: AbortSignal;
  /** Is told why a try failed, and when the next one comes. */
  readonly onTrouble?: (error: ConnectError, retryInMs: number) => void;
}

/**
 * Makes a call, and repeats it for as long as repeating can help. Every method of the service is safe to repeat.
 *
 * Between two tries it waits twice as long each time, half of it by chance, and at least as long as the service
 * says.
 *
 * @throws ConnectError what repeating does not help against
 */
export async function persist<T>(
  call: () => Promise<T>,
  { signal, onTrouble }: Persistence = {},
): Promise<T> {
  for (let pause = firstPauseMs; ; pause = Math.min(2 * pause, longestPauseMs)) {
    let error: ConnectError;
    try {
      signal?.throwIfAborted();
      return await call();
    } catch (thrown) {
      error = ConnectError.from(thrown);
      if (signal?.aborted || !isPassing(error)) throw error;
    }
    const byChance = pause * (0.5 + Math.random() / 2);
    const wait = Math.max(byChance, retryDelayMs(error) * (1 + Math.random() / 4));
    onTrouble?.(error, wait);
    await sleep(wait, undefined, { ...(signal && { signal }) }).catch(() => {});
  }
}

/** Reports whether repeating the same call can help. */
export function isPassing(error: ConnectError): boolean {
  switch (error.code) {
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.Aborted:
      return true;
    case Code.ResourceExhausted:
      // Some limits are not over in a moment, such as the size of a message: the service then gives no delay.
      return error.findDetails(RetryInfoSchema).length > 0;
    case Code.Canceled:
    case Code.Internal:
    case Code.Unknown:
      // A connection that breaks has many names. What the service itself says has an ErrorInfo.
      return error.findDetails(ErrorInfoSchema).length === 0;
    default:
      return false;
  }
}

function retryDelayMs(error: ConnectError): number {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay === undefined ? 0 : durationMs(delay);
}
