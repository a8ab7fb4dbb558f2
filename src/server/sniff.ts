import type { Socket } from "node:net";

/** What every HTTP/2 connection begins with, when there is no TLS to agree on the protocol. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/**
 * Hands a new connection over to one of two protocols once its first bytes tell which it speaks.
 *
 * The bytes may come one by one. They are put back, so that the new owner reads the connection from its start.
 * A connection that has not told within the time is closed.
 */
export function sniff(
  socket: Socket,
  timeoutMs: number,
  handOver: { http1: (socket: Socket) => void; http2: (socket: Socket) => void },
): void {
  let seen = Buffer.alloc(0);
  const destroy = () => socket.destroy();
  const timer = setTimeout(destroy, timeoutMs);
  const finish = (next: (socket: Socket) => void): void => {
    socket.off("readable", peek).off("error", destroy).off("end", destroy);
    clearTimeout(timer);
    socket.unshift(seen);
    next(socket);
  };
  const peek = (): void => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
      seen = Buffer.concat([seen, chunk]);
    }
    const length = Math.min(seen.length, preface.length);
    if (!seen.subarray(0, length).equals(preface.subarray(0, length))) {
      finish(handOver.http1);
    } else if (length === preface.length) {
      finish(handOver.http2);
    }
  };
  socket.on("readable", peek).on("error", destroy).on("end", destroy);
  socket.once("close", () => clearTimeout(timer));
}
