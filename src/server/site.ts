import { createHash } from "node:crypto";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { NodeRequest } from "./node-http.ts";
import { readSiteFiles, type SiteFile, toSiteFile } from "./site-files.ts";

/** Nothing runs in the pages but what came with them, and they talk to nobody but us. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

const noticeStyle =
  "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto;padding:0 1rem;color-scheme:light dark}";
const noticePolicy = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(noticeStyle).digest("base64")}'; frame-ancestors 'none'`;

/** What a path of an RPC looks like. Such a path is never a page, also if there is no such RPC. */
const rpcPath = /^\/[\w.]+\.\w+\/\w+$/;

/** The pages that the service serves to browsers: the console. */
export class Site {
  readonly #directory: string;
  #files: ReadonlyMap<string, SiteFile> | undefined;
  #notice: SiteFile | undefined;

  /** @param directory where the built site lies, or will lie */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Shows the site as it lies in the directory now. */
  show(): void {
    this.#files = undefined;
    this.#notice = undefined;
  }

  /** Shows a text in place of every page, and looks for news each few seconds. */
  showNotice(text: string): void {
    this.#notice = toNotice(text);
  }

  /** Returns the answer to a request for a page or what belongs to one; undefined if the request is for others. */
  answer({ method, url = "", headers }: NodeRequest): UniversalServerResponse | undefined {
    const path = url.split("?", 1)[0] ?? "";
    if ((method !== "GET" && method !== "HEAD") || rpcPath.test(path)) {
      return undefined;
    }
    // Pages have addresses of their own that are not files.
    const isPage = path === "/" || (headers.accept?.includes("text/html") ?? false);
    if (this.#notice !== undefined) {
      return isPage ? respond(503, this.#notice, method, headers, noticePolicy) : undefined;
    }
    this.#files ??= readSiteFiles(this.#directory);
    const file =
      this.#files.get(path) ??
      (isPage && !path.startsWith("/assets/") ? this.#files.get("/index.html") : undefined);
    if (file !== undefined) {
      return respond(200, file, method, headers, policy.join("; "));
    }
    if (isPage && this.#files.size === 0) {
      const notice = toNotice(
        "The console is not built. <code>npm run build:console</code> builds it; the API is there.",
      );
      return respond(503, notice, method, headers, noticePolicy);
    }
    return undefined;
  }
}

function toNotice(text: string): SiteFile {
  const html = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="3"><title>Taskledger</title><style>${noticeStyle}</style></head><body><h1>Taskledger</h1><p>${text}</p></body></html>\n`;
  return toSiteFile(Buffer.from(html), ".html", false);
}

function respond(
  status: number,
  file: SiteFile,
  method: string,
  { "accept-encoding": encodings, "if-none-match": known }: NodeRequest["headers"],
  contentPolicy: string,
): UniversalServerResponse {
  const header = new Headers({
    "cache-control":
      status === 200 ? (file.immutable ? "public, max-age=31536000, immutable" : "no-cache") : "no-store",
    "content-security-policy": contentPolicy,
    "cross-origin-opener-policy": "same-origin",
    // Addresses name runs and tasks.
    "referrer-policy": "no-referrer",
    vary: "Accept-Encoding, Origin",
    "x-content-type-options": "nosniff",
  });
  if (status === 200) {
    header.set("etag", file.etag);
    if (known === file.etag) {
      return { status: 304, header };
    }
  }
  const acceptsGzip = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(String(encodings ?? ""));
  const body = acceptsGzip && file.gzip !== undefined ? file.gzip : file.body;
  header.set("content-type", file.type);
  header.set("content-length", String(body.byteLength));
  if (body === file.gzip) {
    header.set("content-encoding", "gzip");
  }
  return { status, header, ...(method === "GET" && { body: once(body) }) };
}

async function* once(body: Buffer): AsyncIterable<Uint8Array> {
  yield body;
}
