import type { EntityManager } from "@mikro-orm/postgresql";
import { LRUCache } from "lru-cache";
import { organizationFilter } from "../db/organization.ts";
import { Organization } from "../organization/organization.entity.ts";
import { openPlace, type PagePlace, type PageScope, sealPlace } from "./seal.ts";

/** How many organizations' keys are kept: 32 bytes each. */
const mostKeys = 10_000;

/** Places in a form that only we can make, for one organization each. */
export interface SealedPlaces {
  /** Returns what a token says, or undefined if it was not made for this scope and organization. */
  open(em: EntityManager, scope: PageScope, token: string): Promise<PagePlace | undefined>;
  /** Returns the token for a position, made now. */
  seal(em: EntityManager, scope: PageScope, position: string): Promise<string>;
}

/**
 * Creates the seal of places: the key of the organization, which is read once and never changes.
 *
 * Any server of the installation takes what another has sealed, also after a restart.
 */
export function createSealedPlaces({ now }: { readonly now: () => Date }): SealedPlaces {
  const keys = new LRUCache<string, Uint8Array>({ max: mostKeys });

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
    async open(em, scope, token) {
      const key = await keyOf(em);
      return key && openPlace(key, scope, token);
    },

    async seal(em, scope, position) {
      const key = await keyOf(em);
      if (key === undefined) {
        throw new Error("an organization without a row has a list with rows");
      }
      return sealPlace(key, scope, { position, issued: Math.floor(now().getTime() / 1000) });
    },
  };
}
