import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A connection on which a test writes bytes of its own. */
export interface RawConnection {
  readonly socket: Socket;
  /** All that came back so far. */
  received(): string;
  /** Waits until the server closed the connection, and returns after how many milliseconds it did. */
  closed(): Promise<number>;
}

/** Connects to a port of this machine. */
export async function connectRaw(port: number): Promise<RawConnection> {
  const socket = connect(port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.on("error", () => undefined);
  const start = performance.now();
  // Not once(): it rejects on "error", and a connection that is reset is closed, too.
  const closed = new Promise<number>((resolve) => {
    socket.on("close", () => resolve(performance.now() - start));
  });
  await once(socket, "connect");
  return { socket, received: () => Buffer.concat(chunks).toString("latin1"), closed: () => closed };
}

/** Sends one request over a connection of its own and returns all that comes back until it is closed. */
export async function exchange(port: number, request: string | Buffer): Promise<string> {
  const connection = await connectRaw(port);
  connection.socket.write(request);
  await connection.closed();
  return connection.received();
}
