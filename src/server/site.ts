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

const notBuilt = "The console is not built. <code>npm run build:console</code> builds it; the API is there.";

/** What a path of an RPC looks like. Such a path is never a page, also if there is no such RPC. */
const rpcPath = /^\/[\w.]+\.\w+\/\w+$/;

/** The pages that the service serves to browsers: the console. */
export class Site {
  readonly #directory: string;
  #files: Promise<ReadonlyMap<string, SiteFile>> | undefined;
  #notice: string | undefined;

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
    this.#notice = text;
  }

  /** Returns the answer to a request for a page or what belongs to one; undefined if the request is for others. */
  answer(request: NodeRequest): Promise<UniversalServerResponse | undefined> | undefined {
    const { method, url = "" } = request;
    const path = url.split("?", 1)[0] ?? "";
    const isOurs = (method === "GET" || method === "HEAD") && !rpcPath.test(path);
    return isOurs ? this.#find(request, method, path) : undefined;
  }

  async #find(
    { headers }: NodeRequest,
    method: string,
    path: string,
  ): Promise<UniversalServerResponse | undefined> {
    // Pages have addresses of their own that are not files.
    const isPage = path === "/" || (headers.accept?.includes("text/html") ?? false);
    if (this.#notice !== undefined) {
      return isPage ? respond(503, await toNotice(this.#notice), method, headers, noticePolicy) : undefined;
    }
    this.#files ??= this.#load();
    const files = await this.#files;
    const index = isPage && !path.startsWith("/assets/") ? files.get("/index.html") : undefined;
    const file = files.get(path) ?? index;
    if (file !== undefined) {
      return respond(200, file, method, headers, policy.join("; "));
    }
    return isPage && files.size === 0
      ? respond(503, await toNotice(notBuilt), method, headers, noticePolicy)
      : undefined;
  }

  /** Reads the site. One that is not there, or goes while it is read, is looked for again by the next request. */
  async #load(): Promise<ReadonlyMap<string, SiteFile>> {
    const files = await readSiteFiles(this.#directory).catch(() => new Map<string, SiteFile>());
    if (files.size === 0) {
      this.#files = undefined;
    }
    return files;
  }
}

function toNotice(text: string): Promise<SiteFile> {
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
