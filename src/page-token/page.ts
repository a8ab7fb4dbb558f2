import type { EntityManager } from "@mikro-orm/postgresql";
import type { PageTokens } from "./page-token.ts";
import type { PageScope } from "./seal.ts";

/** How many rows a page has when the request does not say. */
const defaultPageSize = 50;

/** How many bytes the rows of a page may have: with this a page fits the 4 MiB that gRPC clients take. */
const mostPageBytes = 4_000_000;

/** A list that is read page by page, each from where the one before ended, and never by counting rows off. */
export interface PagedList<Row> extends PageScope {
  /** Returns at most so many rows in the order of the list, from after the position, or from the start. */
  find(position: string | undefined, limit: number): Promise<Row[]>;
  /** Returns the position of a row. */
  positionOf(row: Row): string;
  /** Returns about how many bytes a row has in the response. It may be too many, not too few. */
  bytesOf(row: Row): number;
}

/** Some rows of a list, and the token of the next page: empty if this is the last one. */
export interface Page<Row> {
  readonly rows: Row[];
  readonly nextPageToken: string;
}

/**
 * Reads one page of a list. It may have fewer rows than were asked for, if they are large, but never none.
 *
 * @throws LedgerError PAGE_TOKEN_INVALID if the token is not one of this list
 */
export async function readPage<Row>(
  em: EntityManager,
  pageTokens: PageTokens,
  { pageSize, pageToken }: { readonly pageSize: number; readonly pageToken: string },
  list: PagedList<Row>,
): Promise<Page<Row>> {
  const position = await pageTokens.read(em, list, pageToken);
  const size = pageSize || defaultPageSize;
  // One more than asked for tells whether there is another page.
  const found = await list.find(position, size + 1);
  const rows = found.slice(0, Math.min(size, countFitting(found, list)));
  const last = rows.at(-1);
  const isLast = last === undefined || rows.length === found.length;
  return { rows, nextPageToken: isLast ? "" : await pageTokens.write(em, list, list.positionOf(last)) };
}

/** Returns how many of the rows fit into a page; the first one always does. */
function countFitting<Row>(rows: readonly Row[], { bytesOf }: PagedList<Row>): number {
  let bytes = 0;
  const tooMany = rows.findIndex((row, index) => {
    bytes += bytesOf(row);
    return index > 0 && bytes > mostPageBytes;
  });
  return tooMany < 0 ? rows.length : tooMany;
}
