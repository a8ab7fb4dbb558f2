import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { gzipSync } from "node:zlib";

/** One file of the site, ready to be sent. */
export interface SiteFile {
  readonly body: Buffer;
  /** Undefined if compressing gains nothing. */
  readonly gzip: Buffer | undefined;
  readonly type: string;
  readonly etag: string;
  /** Whether the path changes when the content does. */
  readonly immutable: boolean;
}

/** What a build may hold. Anything else is not served. */
const types: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".woff2": "font/woff2",
};

/**
 * Reads the files of a built site by their paths in URLs; none if there is no such directory.
 *
 * All of it, once: it is small, and no request can name a file outside of it.
 */
export function readSiteFiles(directory: string): ReadonlyMap<string, SiteFile> {
  if (!existsSync(join(directory, "index.html"))) {
    return new Map();
  }
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extname(entry.name) in types)
    .map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    files.map((file) => [
      `/${relative(directory, file).split(sep).join("/")}`,
      toSiteFile(readFileSync(file), extname(file), file.includes(`${sep}assets${sep}`)),
    ]),
  );
}

/** Returns a file with what its headers say. */
export function toSiteFile(body: Buffer, extension: string, immutable: boolean): SiteFile {
  const gzip = gzipSync(body, { level: 9 });
  return {
    body,
    gzip: gzip.byteLength < body.byteLength * 0.9 ? gzip : undefined,
    type: types[extension] ?? "application/octet-stream",
    etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`,
    immutable,
  };
}
