import type { EventEmitter } from "node:events";
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { Readable } from "node:stream";

/** What the requests of node:http and of node:http2 have in common. */
export interface NodeRequest extends Readable {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly httpVersion: string;
  readonly httpVersionMajor: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  /** Whether the whole request was received. */
  readonly complete: boolean;
  /** Only in HTTP/2. */
  readonly authority?: string;
  /** Only in HTTP/2. */
  readonly stream?: ServerHttp2Stream;
}

/** What the responses of node:http and of node:http2 have in common. */
export interface NodeResponse extends EventEmitter {
  readonly headersSent: boolean;
  setHeader(name: string, value: string): unknown;
  writeHead(status: number, headers?: OutgoingHttpHeaders): unknown;
  write(chunk: Uint8Array): boolean;
  addTrailers(trailers: OutgoingHttpHeaders): void;
  end(): unknown;
  destroy(error?: Error): unknown;
}
