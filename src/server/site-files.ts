import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

const compress = promisify(gzip);

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
 * All of it, once: it is small, and no request can name a file outside of it. Beside the event loop, which has
 * calls to answer.
 */
export async function readSiteFiles(directory: string): Promise<ReadonlyMap<string, SiteFile>> {
  if (!existsSync(join(directory, "index.html"))) {
    return new Map();
  }
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && extname(entry.name) in types)
    .map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(async (file): Promise<[string, SiteFile]> => {
        const isAsset = file.includes(`${sep}assets${sep}`);
        const path = `/${relative(directory, file).split(sep).join("/")}`;
        return [path, await toSiteFile(await readFile(file), extname(file), isAsset)];
      }),
    ),
  );
}

/** Returns a file with what its headers say. */
export async function toSiteFile(body: Buffer, extension: string, immutable: boolean): Promise<SiteFile> {
  const compressed = await compress(body, { level: 9 });
  return {
    body,
    gzip: compressed.byteLength < body.byteLength * 0.9 ? compressed : undefined,
    type: types[extension] ?? "application/octet-stream",
    etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`,
    immutable,
  };
}
