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
  end(chunk?: Uint8Array): unknown;
  destroy(error?: Error): unknown;
}

/** Returns the headers of a request as Connect and the fetch API have them. */
export function toHeaders(node: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(node)) {
    // Names with a colon are those of HTTP/2 itself, such as ":path".
    if (value !== undefined && !name.startsWith(":")) {
      for (const each of Array.isArray(value) ? value : [value]) {
        headers.append(name, each);
      }
    }
  }
  return headers;
}

/** Reads headers by their names in lower case, as `Headers.get` does. */
export type HeaderReader = Pick<Headers, "get">;

/** Returns the same as {@link toHeaders} for those who only read some, at no cost. */
export function readerOf(node: IncomingHttpHeaders): HeaderReader {
  return {
    get(name) {
      const value = node[name];
      return Array.isArray(value) ? value.join(", ") : (value ?? null);
    },
  };
}
