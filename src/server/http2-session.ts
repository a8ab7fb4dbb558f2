import type { ServerHttp2Session } from "node:http2";
import type { Limits } from "./limits.ts";

/**
 * Closes an HTTP/2 session that has been idle, and destroys one whose peer is gone.
 *
 * A peer that vanished without a word, behind a NAT or with its machine, is found only by a PING that nobody
 * answers; TCP would hold on to it for hours.
 */
export function guardSession(
  session: ServerHttp2Session,
  {
    sessionIdleMs,
    pingIntervalMs,
    pingTimeoutMs,
  }: Pick<Limits, "sessionIdleMs" | "pingIntervalMs" | "pingTimeoutMs">,
): void {
  let streams = 0;
  let idle: NodeJS.Timeout | undefined;
  let answer: NodeJS.Timeout | undefined;

  const whenIdle = (): void => {
    idle = setTimeout(() => session.close(), sessionIdleMs).unref();
  };
  const ping = (): void => {
    if (session.destroyed || session.closed) {
      return;
    }
    answer ??= setTimeout(() => session.destroy(), pingTimeoutMs).unref();
    session.ping(() => {
      clearTimeout(answer);
      answer = undefined;
    });
  };

  const pings = setInterval(ping, pingIntervalMs).unref();
  whenIdle();
  session.on("stream", (stream) => {
    streams++;
    clearTimeout(idle);
    stream.once("close", () => {
      streams--;
      if (streams === 0 && !session.closed) {
        whenIdle();
      }
    });
  });
  session.once("close", () => {
    clearInterval(pings);
    clearTimeout(idle);
    clearTimeout(answer);
  });
}
