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

/** What is done with the bytes of one connection. `skip`: with the rest of a statement that is answered already. */
type State = "start" | "pass" | "skip" | "lose-after" | "silence";

function pipe(client: Socket, database: Socket, faultOf: (text: string) => Fault | undefined): void {
  let state: State = "start";
  let isProbe = false;
  const textOf = statements();
  // How many statements were sent and how many answered: several are under way at once.
  let sent = 0;
  let answered = 0;
  let lastAnswer = Number.POSITIVE_INFINITY;

  const fromClient = splitter(true, (message) => {
    if (state === "start") {
      // The first message has no type; it names the program.
      isProbe = message.includes("taskledger-probe");
      state = "pass";
      // Signing in is answered like a statement.
      sent++;
    } else if (state === "pass" && !isProbe) {
      const text = textOf(message);
      const fault = text === undefined ? undefined : faultOf(text);
      if (fault === "lose-before") {
        client.destroy();
        return;
      }
      if (fault === "lose-after") lastAnswer = sent;
      if (typeof fault === "object") {
        // It is the database that refuses, so that the transaction is as it would be.
        if (typeOf(message) === "Q") {
          database.write(failing(fault.sqlState));
          sent++;
        } else {
          database.write(failingPrepared(fault.sqlState));
          state = "skip";
        }
        return;
      }
      state = fault ?? state;
    }
    const isEnd = typeOf(message) === "Q" || typeOf(message) === "S";
    if (state === "skip") {
      if (!isEnd) return;
      // Without it a database that has refused the statement before does not take another one.
      state = "pass";
    }
    if (state === "silence" || (state === "lose-after" && sent > lastAnswer)) {
      return;
    }
    if (isEnd) sent++;
    database.write(message);
  });
  const fromDatabase = splitter(false, (message) => {
    if (state === "silence") {
      return;
    }
    if (answered < lastAnswer) client.write(message);
    if (typeOf(message) === "Z" && ++answered > lastAnswer) client.destroy();
  });
  client.on("data", fromClient);
  database.on("data", fromDatabase);
}

function typeOf(message: Buffer): string {
  return String.fromCharCode(message[0] ?? 0);
}

/** Returns what tells which statement a message runs: a simple query, or one that was prepared. */
function statements(): (message: Buffer) => string | undefined {
  const prepared = new Map<string, string>();
  return (message) => {
    const [first = "", second = ""] = message.subarray(5).toString("latin1").split("\0", 2);
    switch (typeOf(message)) {
      case "Q":
        return first;
      case "P":
        prepared.set(first, second);
        return undefined;
      case "B":
        return prepared.get(second);
      default:
        return undefined;
    }
  };
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

/** Returns a simple query that fails with a SQLSTATE. */
function failing(sqlState: string): Buffer {
  return messageOf("Q", textOfFailing(sqlState));
}

/** Returns the same up to, and without, the message that ends it: prepared without a name, bound, and run. */
function failingPrepared(sqlState: string): Buffer {
  return Buffer.concat([
    messageOf("P", `\0${textOfFailing(sqlState)}`, Buffer.alloc(2)),
    messageOf("B", "\0\0", Buffer.alloc(6)),
    messageOf("E", "\0", Buffer.alloc(4)),
  ]);
}

function textOfFailing(sqlState: string): string {
  return `do $$ begin raise exception 'injected by a test' using errcode = '${sqlState}'; end $$\0`;
}

function messageOf(type: string, text: string, rest: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(text), rest]);
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeUInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}
