import { type EventEmitter, once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import type { Adapter } from "./adapter.ts";
import { guardSession } from "./http2-session.ts";
import type { Limits } from "./limits.ts";
import type { ProbedReadiness } from "./readiness.ts";
import { sniff } from "./sniff.ts";

/** What a listener needs. */
export interface ListenerOptions {
  readonly adapter: Adapter;
  readonly limits: Limits;
  readonly readiness: ProbedReadiness;
  /** Certificate chain and key in PEM; without them the port speaks plaintext. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined;
}

/** One port that speaks HTTP/2 and HTTP/1.1. */
export interface Listener {
  /** Begins to listen. Port 0 takes any free one. */
  listen(port: number, host: string): Promise<AddressInfo>;
  /**
   * Stops without failing a call: turns not ready, waits for load balancers to notice, then refuses calls, ends
   * streams with UNAVAILABLE, and closes each connection when its calls in flight are done.
   *
   * @param graceMs how long all of this may take; then whatever is left is cut off
   * @param settleMs how long load balancers take to notice
   */
  drain(options: { graceMs: number; settleMs: number }): Promise<void>;
  /** Stops at once and cuts off whatever is open. */
  close(): Promise<void>;
}

/**
 * Returns a port for both protocols: told apart by ALPN with TLS, by the first bytes without.
 *
 * One server accepts all connections and is the HTTP/1.1 server, so that its timeouts work; HTTP/2 connections
 * are handed to a second server that listens to nothing.
 */
export function createListener({ adapter, limits, readiness, tls }: ListenerOptions): Listener {
  const handle = adapter.handle.bind(adapter);
  const server = createHttp1Server(limits, tls).on("request", handle);
  const http2Server = createHttp2Server(limits).on("request", handle);
  const sockets = new Set<Socket>();
  const undecided = new Set<Socket>();
  const sessions = new Set<http2.ServerHttp2Session>();
  let draining = false;

  track(sockets, server, "connection");
  track(sessions, http2Server, "session");
  http2Server.on("session", (session: http2.ServerHttp2Session) => guardSession(session, limits));
  server.on("request", (_, response) => {
    response.once("close", () => draining && setImmediate(() => server.closeIdleConnections()));
  });

  // In place of the HTTP/1.1 server's own listener, which would take every connection for HTTP/1.1.
  const event = tls ? "secureConnection" : "connection";
  const http1 = server.listeners(event)[0] as (socket: Socket) => void;
  const handOver = {
    http1: (socket: Socket) => undecided.delete(socket) && http1.call(server, socket),
    http2: (socket: Socket) => {
      undecided.delete(socket);
      // The HTTP/1.1 server accepts connections that stay half open; HTTP/2 would wait on them for ever.
      socket.allowHalfOpen = false;
      http2Server.emit("connection", socket);
    },
  };
  server.off(event, http1).on(event, (socket: Socket | TLSSocket) => {
    undecided.add(socket);
    socket.once("close", () => undecided.delete(socket));
    if ("alpnProtocol" in socket) {
      socket.alpnProtocol === "h2" ? handOver.http2(socket) : handOver.http1(socket);
    } else {
      sniff(socket, limits.sniffTimeoutMs, handOver);
    }
  });

  const destroyAll = (): void => {
    for (const socket of sockets) {
      socket.destroy();
    }
  };
  return {
    async listen(port, host) {
      server.listen(port, host);
      await once(server, "listening");
      return server.address() as AddressInfo;
    },
    async drain({ graceMs, settleMs }) {
      const closed = once(server, "close");
      const expiry = setTimeout(destroyAll, graceMs);
      readiness.drain();
      await delay(Math.min(settleMs, graceMs));
      draining = true;
      adapter.drain();
      server.close();
      for (const session of sessions) {
        session.close();
      }
      for (const socket of undecided) {
        socket.destroy();
      }
      await closed;
      clearTimeout(expiry);
    },
    async close() {
      const closed = server.listening ? once(server, "close") : undefined;
      server.close();
      destroyAll();
      await closed;
    },
  };
}

function track<T extends EventEmitter>(set: Set<T>, server: EventEmitter, event: string): void {
  server.on(event, (each: T) => {
    set.add(each);
    each.once("close", () => set.delete(each));
  });
}

function createHttp1Server(limits: Limits, tls: ListenerOptions["tls"]): http.Server {
  const options: http.ServerOptions = {
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // How late a timeout may be noticed.
    connectionsCheckingInterval: Math.ceil(Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs) / 10),
    maxHeaderSize: limits.maxHeaderBytes,
  };
  const server = tls
    ? https.createServer({
        ...options,
        ...tls,
        ALPNProtocols: ["h2", "http/1.1"],
        handshakeTimeout: limits.sniffTimeoutMs,
      })
    : http.createServer(options);
  server.maxConnections = limits.maxConnections;
  // Among processes that share a port, a connection is else passed on and on as long as all are full.
  Object.assign(server, { dropMaxConnection: true });
  return server;
}

function createHttp2Server(limits: Limits): http2.Http2Server {
  return http2.createServer({
    settings: { maxConcurrentStreams: limits.maxConcurrentStreams, maxHeaderListSize: limits.maxHeaderBytes },
    maxHeaderListPairs: limits.maxHeaderPairs,
    maxSessionMemory: limits.maxSessionMemoryMb,
    maxSessionInvalidFrames: limits.maxInvalidFrames,
    maxSessionRejectedStreams: limits.maxInvalidFrames,
    streamResetBurst: limits.streamResetBurst,
    streamResetRate: limits.streamResetRate,
  });
}
