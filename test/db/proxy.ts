import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * What becomes of a statement: its connection is lost before it reaches PostgreSQL, or after it was run and
 * before its answer; it is answered with an error of a SQLSTATE instead of being run; or it is never answered.
 */
export type Fault = "lose-before" | "lose-after" | "silence" | { readonly sqlState: string };

/** A rule, and how often it has struck. */
export interface Rule {
  readonly hits: number;
}

/** A proxy between a service and its PostgreSQL that breaks chosen statements. */
export interface DatabaseProxy extends AsyncDisposable {
  /** How to connect through the proxy. */
  readonly url: string;
  /**
   * Breaks the next statements of the service's pool whose text matches, and nothing of its readiness probe.
   *
   * @param times how many; 1 by default
   * @param skip how many pass before; none by default
   */
  inject(fault: Fault, statement: RegExp, times?: number, skip?: number): Rule;
  /** Forgets all rules. */
  reset(): void;
  /** Refuses connections, and drops those that are open; true takes them again. */
  setReachable(reachable: boolean): void;
}

interface ActiveRule {
  readonly fault: Fault;
  readonly statement: RegExp;
  skip: number;
  left: number;
  hits: number;
}

/** Starts a proxy to a PostgreSQL that is reached over TCP without TLS. */
export async function startDatabaseProxy(databaseUrl: string): Promise<DatabaseProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let rules: ActiveRule[] = [];
  let reachable = true;

  const faultOf = (text: string): Fault | undefined => {
    const rule = rules.find(({ statement, left }) => left > 0 && statement.test(text));
    if (rule !== undefined && rule.skip > 0) {
      rule.skip--;
      return undefined;
    }
    if (rule !== undefined) {
      rule.left--;
      rule.hits++;
    }
    return rule?.fault;
  };
  const server = createServer({ noDelay: true }, (client) => {
    if (!reachable) {
      client.destroy();
      return;
    }
    const database = connect({ host: target.hostname, port: Number(target.port), noDelay: true });
    for (const [socket, other] of [
      [client, database],
      [database, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    pipe(client, database, faultOf);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(databaseUrl);
  url.port = String((server.address() as AddressInfo).port);
  const drop = () => {
    for (const socket of sockets) {
      socket.destroy();
    }
  };
  return {
    url: url.href,
    inject(fault, statement, times = 1, skip = 0) {
      const rule = { fault, statement, skip, left: times, hits: 0 };
      rules.push(rule);
      return rule;
    },
    reset() {
      rules = [];
    },
    setReachable(value) {
      reachable = value;
      if (!value) {
        drop();
      }
    },
    async [Symbol.asyncDispose]() {
      drop();
      server.close();
      await once(server, "close");
    },
  };
}

/** What is done with the bytes of one connection. */
type State = "start" | "pass" | "lose-after" | "silence" | { readonly sqlState: string };

function pipe(client: Socket, database: Socket, faultOf: (text: string) => Fault | undefined): void {
  let state: State = "start";
  let isProbe = false;
  // Whether the connection is inside of a transaction, as the database last said: I, T or E.
  let status = "I";

  const fromClient = splitter(true, (message) => {
    if (state === "start") {
      // The first message has no type; it names the program.
      isProbe = message.includes("taskledger-probe");
      state = "pass";
    } else if (state === "pass" && !isProbe) {
      const fault = faultOf(statementOf(message) ?? "");
      if (fault === "lose-before") {
        client.destroy();
        return;
      }
      state = fault ?? state;
    }
    if (state === "silence") {
      return;
    }
    if (typeof state === "object") {
      // After an error PostgreSQL skips the rest of the request up to its end.
      if (typeOf(message) === "Q" || typeOf(message) === "S") {
        status = status === "I" ? "I" : "E";
        client.write(errorResponse(state.sqlState, status));
        state = "pass";
      }
      return;
    }
    database.write(message);
  });
  const fromDatabase = splitter(false, (message) => {
    const isReady = typeOf(message) === "Z";
    if (isReady) {
      status = String.fromCharCode(message[5] ?? 0);
    }
    if (state === "lose-after") {
      if (isReady) {
        client.destroy();
      }
    } else if (state !== "silence") {
      client.write(message);
    }
  });
  client.on("data", fromClient);
  database.on("data", fromDatabase);
}

function typeOf(message: Buffer): string {
  return String.fromCharCode(message[0] ?? 0);
}

/** Returns the text of a simple query, or of one that is prepared. */
function statementOf(message: Buffer): string | undefined {
  switch (typeOf(message)) {
    case "Q":
      return message.subarray(5, -1).toString();
    case "P":
      return message.subarray(5).toString().split("\0")[1];
    default:
      return undefined;
  }
}

/** Cuts a stream into messages: a type, except before the first one of a client, then a length, then the rest. */
function splitter(startsWithoutType: boolean, take: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let head = startsWithoutType ? 0 : 1;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= head + 4) {
      const length = head + rest.readUInt32BE(head);
      if (rest.length < length) {
        return;
      }
      const message = rest.subarray(0, length);
      rest = rest.subarray(length);
      head = 1;
      take(message);
    }
  };
}

/** Returns an ErrorResponse and the ReadyForQuery that follows it. */
function errorResponse(sqlState: string, status: string): Buffer {
  const fields = Buffer.from(`SERROR\0VERROR\0C${sqlState}\0Minjected by a test\0\0`);
  const error = Buffer.alloc(5);
  error.write("E");
  error.writeUInt32BE(4 + fields.length, 1);
  return Buffer.concat([error, fields, Buffer.from(["Z".charCodeAt(0), 0, 0, 0, 5, status.charCodeAt(0)])]);
}
