import type { EntityManager } from "@mikro-orm/postgresql";
import { LRUCache } from "lru-cache";
import { organizationFilter } from "../db/organization.ts";
import { LedgerError } from "../errors.ts";
import { Organization } from "../organization/organization.entity.ts";
import { openPlace, type PageScope, sealPlace } from "./seal.ts";

/** How long a page token is good for: long enough for whoever reads on after a weekend. */
export const pageTokenLifetimeSeconds = 3 * 24 * 60 * 60;

/** How many organizations' keys are kept: 32 bytes each. */
const mostKeys = 10_000;

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

/**
 * Creates page tokens that are signed with the key of the organization, which is read once and never changes.
 *
 * Any server of the installation takes them, also after a restart.
 */
export function createPageTokens({ now }: { readonly now: () => Date }): PageTokens {
  const keys = new LRUCache<string, Uint8Array>({ max: mostKeys });
  const nowSeconds = () => Math.floor(now().getTime() / 1000);

  async function keyOf(em: EntityManager): Promise<Uint8Array | undefined> {
    const id: string = em.getFilterParams(organizationFilter.name)["organizationId"];
    const known = keys.get(id);
    if (known !== undefined) {
      return known;
    }
    const organization = await em.findOne(Organization, { id }, { populate: ["pageTokenKey"] });
    if (organization !== null) {
      keys.set(id, organization.pageTokenKey);
    }
    return organization?.pageTokenKey;
  }

  return {
    async read(em, scope, token) {
      if (token === "") {
        return undefined;
      }
      const key = await keyOf(em);
      const place = key && openPlace(key, scope, token);
      if (place === undefined || nowSeconds() - place.issued > pageTokenLifetimeSeconds) {
        const description = "not a token of this list and filter; start again without it";
        throw new LedgerError("PAGE_TOKEN_INVALID", `page_token: ${description}`, {
          violations: [{ field: "page_token", description }],
        });
      }
      return place.position;
    },

    async write(em, scope, position) {
      const key = await keyOf(em);
      if (key === undefined) {
        throw new Error("an organization without a row has a list with rows");
      }
      return sealPlace(key, scope, { position, issued: nowSeconds() });
    },
  };
}
