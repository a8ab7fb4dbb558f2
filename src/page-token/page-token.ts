import type { EntityManager } from "@mikro-orm/postgresql";
import { LedgerError } from "../errors.ts";
import type { PageScope } from "./seal.ts";
import { createSealedPlaces, type SealedPlaces } from "./sealed-places.ts";

/** How long a page token is good for: long enough for whoever reads on after a weekend. */
export const pageTokenLifetimeSeconds = 3 * 24 * 60 * 60;

/** Page tokens: where a list goes on, in a form that only we can make. */
export interface PageTokens {
  /**
   * Returns the position in a page token, or undefined for the empty token, which is the first page's.
   *
   * @throws LedgerError PAGE_TOKEN_INVALID if it was not made for this list, filter and organization, or is
   * too old; which of these is not said
   */
  read(em: EntityManager, scope: PageScope, token: string): Promise<string | undefined>;
  /** Returns the token of the page after a position. */
  write(em: EntityManager, scope: PageScope, position: string): Promise<string>;
}

/** Creates page tokens that are sealed for the organization. */
export function createPageTokens({
  now,
  sealed = createSealedPlaces({ now }),
}: {
  readonly now: () => Date;
  readonly sealed?: SealedPlaces;
}): PageTokens {
  return {
    async read(em, scope, token) {
      if (token === "") {
        return undefined;
      }
      const place = await sealed.open(em, scope, token);
      if (
        place === undefined ||
        Math.floor(now().getTime() / 1000) - place.issued > pageTokenLifetimeSeconds
      ) {
        const description = "not a token of this list and filter; start again without it";
        throw new LedgerError("PAGE_TOKEN_INVALID", `page_token: ${description}`, {
          violations: [{ field: "page_token", description }],
        });
      }
      return place.position;
    },

    write: (em, scope, position) => sealed.seal(em, scope, position),
  };
}
